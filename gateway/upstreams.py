"""The instances of a service: taken in turn, left out for a while when they can't be reached."""

import asyncio
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import orjson
import structlog
from aiohttp import hdrs
from prometheus_client import Counter
from yarl import URL

from gateway.routes import ServiceName
from shared import tokens
from shared.errors import BadGatewayError, GatewayTimeoutError, UnavailableError

log = structlog.get_logger(__name__)

FAILURES = Counter("talkstack_gateway_upstream_failures", "Requests that an instance failed.", ["service", "kind"])
OWN_REQUEST_SECONDS = 5.0
HEARTBEAT_SECONDS = 30.0
MAX_MESSAGE_BYTES = 1024 * 1024
_UNREACHABLE = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)

Body = bytes | AsyncIterable[bytes] | None
WebSocket = aiohttp.ClientWebSocketResponse[bool]
AnswerT = TypeVar("AnswerT")


@dataclass(slots=True)
class Instance:
    """One process of a service. `ejected_until` is monotonic time."""

    base_url: str
    ejected_until: float = 0.0


class Upstream:
    """One service."""

    def __init__(
        self,
        name: ServiceName,
        base_urls: Sequence[str],
        session: aiohttp.ClientSession,
        *,
        ejection_seconds: float = 2,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._instances = [Instance(url) for url in base_urls]
        self._session = session
        self._ejection_seconds = ejection_seconds
        self._monotonic = monotonic
        self._turn = 0

    def _candidates(self) -> Iterator[Instance]:
        """Every instance once, beginning with the next in turn; ejected ones last, since all may be."""
        count = len(self._instances)
        start = self._turn = (self._turn + 1) % count
        now = self._monotonic()
        instances = [self._instances[(start + offset) % count] for offset in range(count)]
        yield from sorted(instances, key=lambda instance: instance.ejected_until > now)

    async def send(
        self, method: str, target: str, headers: Mapping[str, str], body: Body = None
    ) -> aiohttp.ClientResponse:
        """Send one request and wait for the head of the answer; `target` goes as it is.

        Raises:
            UnavailableError: no instance could be reached, so nothing was sent.
            BadGatewayError: the connection was lost on the way, or what came was no HTTP.
        """

        async def request(base_url: str) -> aiohttp.ClientResponse:
            url = URL(base_url + target, encoded=True)
            return await self._session.request(method, url, headers=headers, data=body, allow_redirects=False)

        return await self._first_reachable(request)

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

        return await self._first_reachable(connect)

    async def _first_reachable(self, attempt: Callable[[str], Awaitable[AnswerT]]) -> AnswerT:
        cause: Exception | None = None
        for instance in self._candidates():
            try:
                return await attempt(instance.base_url)
            except _UNREACHABLE as error:
                FAILURES.labels(self.name, "unreachable").inc()
                log.warning("instance_unreachable", upstream=self.name, instance=instance.base_url, cause=str(error))
                instance.ejected_until = self._monotonic() + self._ejection_seconds
                cause = error
            except aiohttp.WSServerHandshakeError:
                raise
            except aiohttp.ClientError as error:
                FAILURES.labels(self.name, "disconnected").inc()
                log.warning("instance_disconnected", upstream=self.name, cause=type(error).__name__)
                raise BadGatewayError from None  # its text may quote the path
        raise UnavailableError from cause

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
