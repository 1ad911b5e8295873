"""The HTTP client for URLs that customers give us: it reaches the public internet only (OWASP SSRF cheat sheet)."""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Literal, Self

import aiohttp
from aiodns.error import ARES_EBADNAME, ARES_ENODATA, ARES_ENOTFOUND
from yarl import URL

from shared.errors import InvalidRequestError

MAX_URL_LENGTH = 2048
MAX_BODY_BYTES = 64 * 1024
RESOLVE_TIMEOUT_SECONDS = 3.0
CONNECT_TIMEOUT_SECONDS = 5.0

Cause = Literal["blocked_address", "dns", "connect", "tls", "timeout", "disconnected", "invalid_response"]

# What `is_global` lets through (Python 3.11 to 3.14 differ), although it leads inside or to nobody.
_DENIED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's host agent, on a public address
        "192.0.0.0/24",  # IETF protocol assignments; Oracle Cloud's metadata
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "::/96",  # IPv4-compatible, e.g. ::7f00:1
        "64:ff9b::/96",  # NAT64 (RFC 6052)
        "64:ff9b:1::/48",  # local NAT64 (RFC 8215)
        "2001::/23",  # IETF protocol assignments, Teredo among them
        "2002::/16",  # 6to4 (RFC 3056)
        "3fff::/20",  # documentation (RFC 9637)
        "5f00::/16",  # segment routing (RFC 9602)
        "fec0::/10",  # site-local (RFC 3879)
    )
)


_DOTTED_DECIMAL = r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}"


class InvalidUrlError(InvalidRequestError):
    """This URL can't be called."""

    code = "invalid_url"


class DeliveryFailedError(Exception):
    """No answer came; `cause` says why in one word."""

    def __init__(self, cause: Cause) -> None:
        self.cause: Cause = cause
        super().__init__(cause)


class BlockedAddressError(DeliveryFailedError):
    """The URL leads to an address that is not on the public internet."""

    def __init__(self) -> None:
        super().__init__("blocked_address")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said: `body` undecoded and cut at 64 KiB."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def is_public(address: str) -> bool:
    """Is this IP address (text, with or without a zone) on the public internet? Anything else is not."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _DENIED)


def parse_url(url: str, *, allow_private: bool = False) -> URL:
    """The URL when its text is acceptable: https (or http where private targets are allowed), a host, no user info.

    Raises:
        InvalidUrlError: it is not.
    """
    if len(url) > MAX_URL_LENGTH:
        raise InvalidUrlError(f"A URL may have {MAX_URL_LENGTH} characters.")
    try:
        parsed = URL(url)
    except ValueError:
        raise InvalidUrlError("This is not a URL.") from None
    if parsed.scheme != "https" and not (parsed.scheme == "http" and allow_private):
        raise InvalidUrlError("Use a URL that starts with https://.")
    if not parsed.host:
        raise InvalidUrlError("This URL names no host.")
    if parsed.user is not None or parsed.password is not None:
        raise InvalidUrlError("A URL must not carry a user name or password.")
    if _is_disguised_ipv4(parsed.host):
        raise InvalidUrlError("Write an IPv4 address as four decimal numbers.")
    return parsed


def _is_disguised_ipv4(host: str) -> bool:
    """A last label that is a number makes the whole an IPv4 address (WHATWG URL, host parsing), e.g. `0x7f.1`."""
    last = host.removesuffix(".").rpartition(".")[2]
    is_number = ":" not in host and re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]*", last)
    return bool(is_number) and not re.fullmatch(_DOTTED_DECIMAL, host)


async def check_url(url: str, allow_private: bool = False) -> None:
    """For registration: is this a URL that we would call? What it leads to later is checked again at each connect.

    A name server that doesn't answer is no reason to refuse.

    Raises:
        InvalidUrlError: malformed, an unknown host, or one address of it is not public.
    """
    parsed = parse_url(url, allow_private=allow_private)
    if allow_private:
        return
    if not all(is_public(address) for address in await _resolve(parsed)):
        raise InvalidUrlError("This URL leads to an address that is not on the public internet.")


async def _resolve(url: URL) -> list[str]:
    try:
        return await addresses_of(url.host or "")
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            return []
        raise InvalidUrlError("The host of this URL is unknown.") from None
    except UnicodeError:  # a label that is empty or too long
        raise InvalidUrlError("The host of this URL is no name of the DNS.") from None
    except TimeoutError:
        return []


async def addresses_of(host: str) -> list[str]:
    """The IP addresses of a host, best first (RFC 6724).

    Not by `loop.getaddrinfo`: uvloop runs two lookups at a time for the whole process and ends none early, so that two
    names whose servers are silent would stop everybody's. aiohttp's connectors use this resolver too.

    Raises:
        socket.gaierror: it has none, or nobody knows.
        UnicodeError: that is no name of the DNS.
        TimeoutError: the name server is silent.
    """
    name = host.encode("idna").decode()
    with suppress(socket.gaierror):  # an address in any spelling, e.g. 2130706433; c-ares would look that up
        found_at_once = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [str(address[0]) for *_, address in found_at_once]
    resolver = aiohttp.AsyncResolver()
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_SECONDS):
            found = await resolver.resolve(name, family=socket.AF_UNSPEC)
    except TimeoutError:
        raise
    except OSError as error:
        raise _as_gaierror(error) from error
    finally:
        await resolver.close()
    return list(dict.fromkeys(one["host"] for one in found))


async def known_addresses_of(host: str) -> list[str]:
    """As `addresses_of`; empty where the name has none of its own (but SRV records), or its name server is silent."""
    try:
        return await addresses_of(host)
    except (OSError, UnicodeError):
        return []


def _as_gaierror(error: OSError) -> socket.gaierror:
    """The error of aiohttp has no number; that of c-ares is in its cause."""
    cause = error.__cause__
    is_unknown = cause is None or cause.args[0] in {ARES_ENOTFOUND, ARES_ENODATA, ARES_EBADNAME}
    return socket.gaierror(socket.EAI_NONAME if is_unknown else socket.EAI_AGAIN, str(error))


class _BlockedError(OSError):
    """An OSError, so that the connector tries the host's other addresses."""


def _public_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise _BlockedError("blocked address")
    return socket.socket(family, kind, protocol)


def public_connector(*, allow_private: bool = False, per_host_limit: int = 0) -> aiohttp.TCPConnector:
    """Connections to public addresses only, checked where the socket is made. Create it inside the event loop."""
    return aiohttp.TCPConnector(
        limit=0,  # a common limit would let one slow customer use up everybody's share
        limit_per_host=per_host_limit,
        keepalive_timeout=4,  # below the 5 s of common servers, or a POST meets a connection just closed
        socket_factory=None if allow_private else _public_socket,
    )


def no_redirects() -> aiohttp.TraceConfig:
    """For sessions that open WebSockets: aiohttp follows the redirect of a handshake, and has no switch for it."""

    async def refuse(*_about: object) -> None:
        raise aiohttp.ClientError("redirected, which is not followed")

    config = aiohttp.TraceConfig()
    config.on_request_redirect.append(refuse)
    return config


_CAUSES: tuple[tuple[type[Exception], Cause], ...] = (
    (TimeoutError, "timeout"),
    (aiohttp.ClientSSLError, "tls"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    (aiohttp.ClientConnectorError, "connect"),
    (aiohttp.ClientPayloadError, "invalid_response"),
    (aiohttp.ClientResponseError, "invalid_response"),
    (aiohttp.ClientError, "disconnected"),
    (OSError, "disconnected"),
    (UnicodeError, "dns"),
)


def _failure(error: Exception) -> DeliveryFailedError:
    if isinstance(error.__cause__, _BlockedError):
        return BlockedAddressError()
    return DeliveryFailedError(next(cause for kind, cause in _CAUSES if isinstance(error, kind)))


class GuardedClient:
    """Requests to customers' URLs. Create it inside the event loop; `async with` or `close()` ends it.

    The address is checked where the socket is made, after every resolution: names that change (DNS rebinding) and all
    spellings of an IP address are covered. Redirects are not followed, cookies and proxies of the environment not used.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        per_host_limit: int = 10,
        total_timeout: timedelta = timedelta(seconds=15),
    ) -> None:
        """`per_host_limit` requests run at a time per host and port; waiting for one counts into `total_timeout`."""
        self._allow_private = allow_private
        self._session = aiohttp.ClientSession(
            connector=public_connector(allow_private=allow_private, per_host_limit=per_host_limit),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=total_timeout.total_seconds(), sock_connect=CONNECT_TIMEOUT_SECONDS),
            auto_decompress=False,
            # Answers are not inflated, so nobody may compress them: aiohttp would ask for it by itself.
            headers={"User-Agent": "Talkstack/1", "Accept-Encoding": "identity"},
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """As `request`."""
        return await self.request("POST", url, body, headers)

    async def request(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send `body` and return the answer, whatever its status.

        Raises:
            InvalidUrlError: as `parse_url`.
            BlockedAddressError: the host has only addresses that are not public.
            DeliveryFailedError: nothing usable came back in time.
        """
        target = parse_url(url, allow_private=self._allow_private)
        try:
            async with self._session.request(
                method, target, data=body, headers=headers, allow_redirects=False
            ) as response:
                content = await _read_at_most(response, MAX_BODY_BYTES)
                return Answer(response.status, dict(response.headers), content)
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as error:
            raise _failure(error) from error

    async def close(self) -> None:
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


async def _read_at_most(response: aiohttp.ClientResponse, limit: int) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) >= limit:
            response.close()  # not released: the rest is never read
            break
    return bytes(content[:limit])
