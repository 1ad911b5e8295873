"""Where a request came from, as the gateway tells it."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from aiohttp import web

CLIENT_IP = "X-Client-IP"


@dataclass(frozen=True, slots=True)
class Client:
    """The caller's address (empty when unknown) and program."""

    ip: str
    user_agent: str

    @property
    def network(self) -> str:
        """What one customer of a network operator has: the address, of IPv6 the /64."""
        try:
            address = ip_address(self.ip)
        except ValueError:
            return self.ip
        return self.ip if address.version == 4 else str(ip_network((address, 64), strict=False))


def _header(request: web.Request, name: str, max_chars: int) -> str:
    """Bytes that are no UTF-8 arrive as surrogates, which Postgres can't store."""
    return request.headers.get(name, "").encode(errors="replace").decode()[:max_chars]


def client_of(request: web.Request) -> Client:
    """The internal token was verified before any handler runs, so the gateway's header can be trusted."""
    return Client(_header(request, CLIENT_IP, 64), _header(request, "User-Agent", 256))
