"""Requests to a service: to one of its instances, to the next when that can't be reached, repeated where it is safe."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import aiohttp
import orjson
import structlog
from aiohttp import hdrs
from prometheus_client import Counter
from yarl import URL

from gateway.errors import InternalTokenRefusedError
from gateway.instances import Instance, Instances, RetryBudget
from gateway.routes import ServiceName
from shared import tokens
from shared.errors import ApiError, BadGatewayError, GatewayTimeoutError, UnavailableError

log = structlog.get_logger(__name__)

FAILURES = Counter("talkstack_gateway_upstream_failures", "Requests that an instance failed.", ["service", "kind"])
RETRIES = Counter("talkstack_gateway_retries", "Requests that were repeated.", ["service"])
OWN_REQUEST_SECONDS = 5.0
HEARTBEAT_SECONDS = 30.0
MAX_MESSAGE_BYTES = 1024 * 1024
_UNREACHABLE = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
# RFC 9110 §9.2.2
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_UNHEALTHY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})

Body = bytes | AsyncIterable[bytes] | None
WebSocket = aiohttp.ClientWebSocketResponse[bool]
AnswerT = TypeVar("AnswerT")


def _never() -> bool:
    return False


class Upstream:
    """One service."""

    def __init__(
        self, name: ServiceName, instances: Instances, session: aiohttp.ClientSession, retries: RetryBudget
    ) -> None:
        self.name = name
        self.instances = instances
        self._session = session
        self._retries = retries

    async def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Body = None,
        *,
        is_late: Callable[[], bool] = _never,
    ) -> aiohttp.ClientResponse:
        """Send one request and wait for the head of the answer; `target` goes as it is.

        `is_late()` tells of a cancelled request whether it was because the service took too long.

        Raises:
            UnavailableError: no instance could be reached, so nothing was sent.
            InternalTokenRefusedError: every instance that was asked refused the gateway's own token, and did nothing.
            BadGatewayError: the connection was lost on the way, or what came was no HTTP.
        """

        async def request(base_url: str) -> aiohttp.ClientResponse:
            url = URL(base_url + target, encoded=True)
            return await self._session.request(method, url, headers=headers, data=body, allow_redirects=False)

        is_whole = body is None or isinstance(body, bytes)
        return await self._ask(request, is_late, is_whole=is_whole, is_repeatable=is_whole and method in _IDEMPOTENT)

    async def open_websocket(self, target: str, headers: Mapping[str, str], protocols: Sequence[str]) -> WebSocket:
        """Open a WebSocket; raises as `send`, and WSServerHandshakeError when the service refuses."""

        async def connect(base_url: str) -> WebSocket:
            url = URL(base_url + target, encoded=True)
            return await self._session.ws_connect(
                url,
                headers=headers,
                protocols=protocols,
                heartbeat=HEARTBEAT_SECONDS,
                max_msg_size=MAX_MESSAGE_BYTES,
            )

        return await self._ask(connect, _never)

    async def _ask(
        self,
        attempt: Callable[[str], Awaitable[AnswerT]],
        is_late: Callable[[], bool],
        *,
        is_whole: bool = True,
        is_repeatable: bool = False,
    ) -> AnswerT:
        self._retries.earn()
        failure: ApiError = UnavailableError()
        candidates = deque(self.instances.candidates())
        while candidates:
            instance = candidates.popleft()
            try:
                return await self._ask_one(instance, attempt, is_late)
            except _UNREACHABLE as error:
                failure = UnavailableError()
                failure.__cause__ = error
            except InternalTokenRefusedError as error:
                failure = error
                if not is_whole:
                    break
            except aiohttp.WSServerHandshakeError:
                raise
            except aiohttp.ClientError:
                failure = BadGatewayError()  # without the cause, whose text may quote the path
                if not (is_repeatable and self._retries.spend()):
                    break
                RETRIES.labels(self.name).inc()
                is_repeatable = False
                candidates.append(instance)  # its connection may have been an old one
        raise failure

    async def _ask_one(
        self, instance: Instance, attempt: Callable[[str], Awaitable[AnswerT]], is_late: Callable[[], bool]
    ) -> AnswerT:
        self.instances.begin(instance)
        try:
            answer = await attempt(instance.base_url)
        except asyncio.CancelledError:
            self._failed(instance, "timeout") if is_late() else self.instances.undecided(instance)
            raise
        except aiohttp.WSServerHandshakeError as error:
            self._settle(instance, error.status, error.headers)
            raise
        except aiohttp.ClientError as error:
            self._failed(instance, "unreachable" if isinstance(error, _UNREACHABLE) else "disconnected")
            raise
        if not isinstance(answer, aiohttp.ClientResponse):
            self.instances.succeeded(instance)
            return answer
        try:
            self._settle(instance, answer.status, answer.headers)
        except InternalTokenRefusedError:
            answer.release()
            raise
        return answer

    def _settle(self, instance: Instance, status: int, headers: Mapping[str, str] | None) -> None:
        """What an answer says of its instance. One that refuses our own token has done nothing, nor will it."""
        if status == HTTPStatus.UNAUTHORIZED and headers and headers.get(hdrs.WWW_AUTHENTICATE) == tokens.CHALLENGE:
            self._failed(instance, "refused")
            raise InternalTokenRefusedError
        if status in _UNHEALTHY:
            self._failed(instance, "unhealthy")
        else:
            self.instances.succeeded(instance)

    def _failed(self, instance: Instance, kind: str) -> None:
        FAILURES.labels(self.name, kind).inc()
        log.warning("instance_failed", upstream=self.name, instance=instance.base_url, kind=kind)
        self.instances.failed(instance, is_useless=kind in {"unreachable", "refused"})

    async def call(self, method: str, path: str, token: str, body: Any = None) -> tuple[int, Any]:
        """A request of the gateway itself: the status and the JSON of the answer.

        Raises:
            UnavailableError, BadGatewayError, GatewayTimeoutError: there is no usable answer.
        """
        headers = {tokens.HEADER: token, hdrs.CONTENT_TYPE: "application/json"}
        try:
            async with asyncio.timeout(OWN_REQUEST_SECONDS):
                answer = await self.send(method, path, headers, None if body is None else orjson.dumps(body))
                async with answer:
                    return answer.status, orjson.loads(await answer.read())
        except TimeoutError as error:
            raise GatewayTimeoutError from error
        except (aiohttp.ClientError, orjson.JSONDecodeError) as error:
            raise BadGatewayError from error
