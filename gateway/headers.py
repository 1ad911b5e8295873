"""Which headers pass, in both directions (RFC 9110 §7.6.1), and who the client is."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from multidict import CIMultiDict, CIMultiDictProxy

from gateway.errors import MalformedRequestError
from shared import tokens
from shared.client import CLIENT_IP
from shared.request_ids import REQUEST_ID

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_IDENTITY = frozenset(
    {
        tokens.HEADER.lower(),
        CLIENT_IP.lower(),
        REQUEST_ID.lower(),
        "authorization",
        "x-api-key",
        "forwarded",
        "via",
        "x-real-ip",
    }
)
# What the gateway decides itself. A body is framed anew (RFC 9112 §6), so that no length is believed twice.
_NOT_TO_SERVICE = _HOP_BY_HOP | _IDENTITY | {"host", "content-length", "expect"}
_NOT_TO_CLIENT = _HOP_BY_HOP | {REQUEST_ID.lower(), tokens.HEADER.lower(), "server", "alt-svc"}


def _listed(headers: "CIMultiDictProxy[str]") -> set[str]:
    """Headers that `Connection` names; they are hop-by-hop as well."""
    return {name.strip().lower() for value in headers.getall("Connection", ()) for name in value.split(",")}


def to_service(headers: "CIMultiDictProxy[str]", ours: Mapping[str, str]) -> CIMultiDict[str]:
    """The headers of the request to a service: the client's end-to-end ones, then `ours`.

    Raises:
        MalformedRequestError: one is no UTF-8.
    """
    dropped = _NOT_TO_SERVICE | _listed(headers) if "Connection" in headers else _NOT_TO_SERVICE
    passed: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        lowered = name.lower()
        if lowered not in dropped and not lowered.startswith(("x-forwarded-", "sec-websocket-")):
            if not value.isascii():
                _check_text(value)
            passed.add(name, value)
    passed.update(ours)
    return passed


def _check_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise MalformedRequestError from error


def to_client(headers: "CIMultiDictProxy[str]") -> CIMultiDict[str]:
    """The headers of the answer to the client; those of CORS are the gateway's."""
    dropped = _NOT_TO_CLIENT | _listed(headers) if "Connection" in headers else _NOT_TO_CLIENT
    passed: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        lowered = name.lower()
        if lowered not in dropped and not lowered.startswith("access-control-"):
            passed.add(name, value)
    return passed


def client_ip(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address of the client: the peer's, or the last one in X-Forwarded-For that no trusted proxy has.

    `forwarded_for` are the header's values in order. What a client itself wrote there is never reached, because
    each trusted proxy appends the address that it saw.
    """
    address = _address(peer)
    if address is None:
        return ""
    hops = [hop.strip() for value in forwarded_for for hop in value.split(",")]
    while hops and any(address in network for network in trusted):
        previous = _address(hops.pop())
        if previous is None:
            break
        address = previous
    return str(address)


@lru_cache(4096)
def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
