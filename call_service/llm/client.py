"""The client: streamed replies for the voice loop, validated JSON for the analysis."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import aiohttp
import orjson
import stamina
from pydantic import BaseModel, SecretStr

from call_service.llm.errors import (
    LlmError,
    LlmProtocolError,
    LlmRejectedError,
    LlmTimeoutError,
    LlmUnreachableError,
    error_of_status,
)
from call_service.llm.messages import Delta, Message, StreamAssembler
from call_service.llm.sse import data_lines
from call_service.llm.structured import content_of, parse_as, plain_json_messages, schema_format

_Model = TypeVar("_Model", bound=BaseModel)
_T = TypeVar("_T")
_ERROR_BODY_BYTES = 8_192


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """Where the model is and how long it may take. `base_url` ends before `/chat/completions`."""

    base_url: str
    model: str
    api_key: SecretStr = field(default_factory=lambda: SecretStr(""))
    first_token_timeout: timedelta = timedelta(seconds=6)
    total_timeout: timedelta = timedelta(seconds=30)
    attempts: int = 3
    max_response_bytes: int = 1_000_000


class LlmClient:
    """Talks to one model. The connection pool opens with the first request; `close` ends it."""

    def __init__(self, settings: LlmSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._retry = stamina.AsyncRetryingCaller(
            attempts=settings.attempts, timeout=settings.total_timeout, wait_initial=0.2, wait_max=2.0, wait_jitter=0.3
        ).on(_may_retry)

    async def close(self) -> None:
        """Close all connections."""
        if self._session:
            await self._session.close()

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        temperature: float | None = None,
    ) -> AsyncGenerator[Delta]:
        """Text as it is written, then the tool calls. Failures before the first of either are tried again.

        Raises:
            LlmError: see the subclasses; after the first delta nothing is retried.
        """
        body = self._body(messages, stream=True, temperature=temperature, tools=list(tools) or None)
        deadline = _deadline(self._settings.total_timeout)
        delta, deltas = await self._retry(self._open, body, deadline)
        async with aclosing(deltas):
            while delta is not None:
                yield delta
                delta = await _within(deadline, anext(deltas, None))

    async def complete_json(self, messages: Sequence[Message], answer: type[_Model]) -> _Model:
        """One answer, as JSON of the shape of `answer`. Endpoints without `response_format` are asked in plain words.

        Raises:
            LlmError: also when the answer does not fit (`LlmProtocolError`).
        """
        deadline = _deadline(self._settings.total_timeout)
        try:
            body = self._body(messages, response_format=schema_format(answer))
            text = await self._retry(self._complete, body, deadline)
        except LlmRejectedError:
            text = await self._retry(self._complete, self._body(plain_json_messages(messages, answer)), deadline)
        return parse_as(answer, text)

    def _body(self, messages: Sequence[Message], **options: Any) -> bytes:
        chosen = {name: value for name, value in options.items() if value is not None}
        return orjson.dumps({"model": self._settings.model, "messages": list(messages), **chosen})

    async def _open(self, body: bytes, deadline: float) -> tuple[Delta | None, AsyncGenerator[Delta]]:
        deltas = self._deltas(body)
        first_token = min(deadline, _deadline(self._settings.first_token_timeout))
        return await _within(first_token, anext(deltas, None)), deltas

    async def _deltas(self, body: bytes) -> AsyncGenerator[Delta]:
        assembler = StreamAssembler()
        async with self._post(body) as response:
            async for payload in data_lines(response.content.iter_any(), self._settings.max_response_bytes):
                for delta in assembler.feed(payload):
                    yield delta
        if not assembler.finished:
            raise LlmUnreachableError("the stream was cut")
        for call in assembler.tool_calls():
            yield call

    async def _complete(self, body: bytes, deadline: float) -> str:
        return await _within(deadline, self._whole_answer(body))

    async def _whole_answer(self, body: bytes) -> str:
        async with self._post(body) as response:
            raw = await _read(response, self._settings.max_response_bytes)
        return content_of(raw)

    @asynccontextmanager
    async def _post(self, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        url = f"{self._settings.base_url.rstrip('/')}/chat/completions"
        try:
            async with self._connected().post(url, data=body, headers=self._headers(), allow_redirects=False) as answer:
                if answer.status != 200:
                    raise error_of_status(answer.status, answer.headers, await _json_or_none(answer))
                yield answer
        except aiohttp.ClientError as error:
            raise LlmUnreachableError(type(error).__name__) from error

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Time-outs are ours (`_within`): aiohttp's total would also count the time a consumer takes to speak.
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        return self._session

    def _headers(self) -> dict[str, str]:
        key = self._settings.api_key.get_secret_value()
        return {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})


def _may_retry(error: Exception) -> bool | timedelta:
    """Whether to try again; how long the endpoint asks to wait, if it says so and a caller could bear it."""
    if not isinstance(error, LlmError) or not error.retryable:
        return False
    if error.retry_after_seconds is None:
        return True
    return timedelta(seconds=error.retry_after_seconds) if error.retry_after_seconds <= 2 else False


def _deadline(after: timedelta) -> float:
    return asyncio.get_running_loop().time() + after.total_seconds()


async def _within(deadline: float, work: Awaitable[_T]) -> _T:
    try:
        async with asyncio.timeout_at(deadline):
            return await work
    except TimeoutError as error:
        raise LlmTimeoutError from error


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise LlmProtocolError("too large")
    return bytes(body)


async def _json_or_none(response: aiohttp.ClientResponse) -> Any:
    try:
        return orjson.loads(await _read(response, _ERROR_BODY_BYTES))
    except (orjson.JSONDecodeError, LlmProtocolError):
        return None
