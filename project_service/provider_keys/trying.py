"""Asks a vendor whether it takes a key, with a request that costs nothing."""

import asyncio
import time
from http import HTTPStatus
from typing import Literal

import aiohttp
import orjson
from yarl import URL

from project_service.provider_keys.schemas import KeyTest
from shared.http_client import no_redirects, public_connector
from shared.providers import PROVIDERS, at

Result = Literal["works", "refused", "unreachable", "unclear"]
TIMEOUT = aiohttp.ClientTimeout(total=8, sock_connect=3)
_CLOSING = aiohttp.ClientWSTimeout(ws_close=1.0)
_MAX_BODY_BYTES = 8_192
_REFUSED = frozenset({401, 403})


class KeyTrier:
    """Create it inside the event loop; `close` ends it."""

    def __init__(self, *, allow_private: bool) -> None:
        """`allow_private`: customers' own base URLs may lead to private addresses."""
        self._session, self._guarded = (
            aiohttp.ClientSession(
                timeout=TIMEOUT,
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=connector,
                trace_configs=[no_redirects()],
            )
            for connector in (None, public_connector(allow_private=allow_private))
        )

    async def try_key(self, provider: str, api_key: str, base_url: str, *, is_customers_url: bool) -> KeyTest:
        """Never raises: what goes wrong is the answer."""
        vendor = PROVIDERS[provider]
        session = self._guarded if is_customers_url else self._session
        started = time.monotonic()
        status: int | None = None
        result: Result = "unreachable"
        try:
            ask = _open if vendor.is_websocket else _get
            status, body = await ask(session, at(base_url, vendor.check), vendor.headers_with(api_key))
            result = verdict(status, body)
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass
        duration_ms = round((time.monotonic() - started) * 1000)
        return KeyTest(provider=provider, result=result, http_status=status, duration_ms=duration_ms)

    async def close(self) -> None:
        await self._session.close()
        await self._guarded.close()


async def _get(session: aiohttp.ClientSession, url: URL, headers: dict[str, str]) -> tuple[int, bytes]:
    async with session.get(url, headers=headers, allow_redirects=False) as answer:
        return answer.status, await answer.content.read(_MAX_BODY_BYTES)


async def _open(session: aiohttp.ClientSession, url: URL, headers: dict[str, str]) -> tuple[int, bytes]:
    """Open a WebSocket, and close it without a word."""
    try:
        async with asyncio.timeout(TIMEOUT.total), session.ws_connect(url, headers=headers, timeout=_CLOSING):
            return HTTPStatus.SWITCHING_PROTOCOLS, b""
    except aiohttp.WSServerHandshakeError as error:
        return error.status, b""


def verdict(status: int, body: bytes) -> Result:
    """What an answer means. ElevenLabs says 401 as well to a good key that may not ask about its user."""
    if 200 <= status < 300 or status == HTTPStatus.SWITCHING_PROTOCOLS:
        return "works"
    if status in _REFUSED:
        return "works" if _is_narrow_key(body) else "refused"
    return "unclear"


def _is_narrow_key(body: bytes) -> bool:
    try:
        detail = orjson.loads(body)["detail"]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return False
    return isinstance(detail, dict) and detail.get("status") == "missing_permissions"
