"""Where a request came from, as the gateway tells it."""

from dataclasses import dataclass

from aiohttp import web

CLIENT_IP = "X-Client-IP"


@dataclass(frozen=True, slots=True)
class Client:
    """The caller's address (empty when unknown) and program."""

    ip: str
    user_agent: str


def client_of(request: web.Request) -> Client:
    """The internal token was verified before any handler runs, so the gateway's header can be trusted."""
    return Client(request.headers.get(CLIENT_IP, "")[:64], request.headers.get("User-Agent", "")[:256])
