"""WebSockets (RFC 6455): one to the client and one to the service, message by message, both ways.

Each side answers its own pings; a peer that answers none for 30 s is taken for dead.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, hdrs, web

from gateway.errors import GoneError
from gateway.exchange import EXCHANGE
from gateway.streams import OpenStreams
from gateway.upstreams import HEARTBEAT_SECONDS, MAX_MESSAGE_BYTES, Upstream, WebSocket
from shared.errors import (
    ApiError,
    BadGatewayError,
    ConflictError,
    ForbiddenError,
    GatewayTimeoutError,
    InvalidRequestError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
    UnprocessableError,
)

_OPEN_SECONDS = 10
# What services refuse a handshake with; the reason is in its body, which a WebSocket's client never reads.
_REFUSALS: dict[int, type[ApiError]] = {
    error.status: error
    for error in (
        InvalidRequestError,
        UnauthorizedError,
        ForbiddenError,
        NotFoundError,
        ConflictError,
        GoneError,
        UnprocessableError,
        UnavailableError,
    )
}
# Codes that only describe how a connection ended and are never sent (RFC 6455 §7.4.1).
_NO_STATUS = 1005
_UNSENDABLE = frozenset({1004, 1006, 1015})

Socket = web.WebSocketResponse[bool] | WebSocket


def is_websocket(request: web.Request) -> bool:
    """Does this request ask for a WebSocket?"""
    return request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"


async def bridge(
    request: web.Request, upstream: Upstream, headers: Mapping[str, str], streams: OpenStreams
) -> web.StreamResponse:
    """Connect client and service until one of them closes.

    Raises:
        ApiError: the request is malformed, or the service refused it.
    """
    offered = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "")
    protocols = [name.strip() for name in offered.split(",") if name.strip()]
    if not web.WebSocketResponse(protocols=protocols).can_prepare(request).ok:
        raise InvalidRequestError("This is no valid WebSocket handshake.")
    far = await _open(upstream, request[EXCHANGE].target, headers, protocols)
    near = web.WebSocketResponse(
        heartbeat=HEARTBEAT_SECONDS,
        protocols=[far.protocol] if far.protocol else (),
        compress=False,
        max_msg_size=MAX_MESSAGE_BYTES,
    )

    async def end() -> None:
        await near.close(code=WSCloseCode.GOING_AWAY)

    try:
        await near.prepare(request)
        exchange = request[EXCHANGE]
        with streams.opened(end, exchange.credential, exchange.expires_at), suppress(ConnectionError):
            await asyncio.gather(_pump(near, far), _pump(far, near))
    finally:
        # A client that has said goodbye hangs up at once, which cancels the pumps before they can pass its code on.
        await far.close(code=_closing_code(near.close_code))
    return near


async def _open(upstream: Upstream, target: str, headers: Mapping[str, str], protocols: list[str]) -> WebSocket:
    try:
        async with asyncio.timeout(_OPEN_SECONDS):
            return await upstream.open_websocket(target, headers, protocols)
    except TimeoutError as error:
        raise GatewayTimeoutError from error
    except aiohttp.WSServerHandshakeError as error:
        raise _REFUSALS.get(error.status, BadGatewayError) from None  # its text quotes the path


async def _pump(source: Socket, sink: Socket) -> None:
    """Pass messages on until `source` closes, then close `sink` with the same code."""
    while True:
        message = await source.receive()
        if message.type is WSMsgType.TEXT:
            await sink.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await sink.send_bytes(message.data)
        else:
            await sink.close(code=_closing_code(source.close_code))
            return


def _closing_code(code: int | None) -> int:
    if not code or code == _NO_STATUS:
        return WSCloseCode.OK
    return WSCloseCode.GOING_AWAY if code in _UNSENDABLE else code
