"""The client: streamed replies for the voice loop, validated JSON for the analysis."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import aiohttp
import orjson
import stamina
from pydantic import BaseModel, SecretStr

from call_service.llm.dialect import ChatRequest, Dialect, OpenAiDialect
from call_service.llm.errors import (
    LlmError,
    LlmProtocolError,
    LlmRejectedError,
    LlmTimeoutError,
    LlmUnreachableError,
    error_of_status,
)
from call_service.llm.messages import Delta, Message, Usage
from call_service.llm.sse import data_lines
from call_service.llm.structured import parse_as, plain_json_messages
from shared.providers import at

_Model = TypeVar("_Model", bound=BaseModel)
_T = TypeVar("_T")
_ERROR_BODY_BYTES = 8_192
# What a model may do without: reasoning models take no temperature, old servers do not count the tokens of a stream.
_DISPENSABLE = frozenset({"temperature", "stream_options"})
_OURS = frozenset({"model", "messages", "stream", "system", "tools"})


def bearer(key: str) -> dict[str, str]:
    """The key as most endpoints take it."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def _uncounted(_usage: Usage) -> None: ...


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """Where the model is and how long it may take. `base_url` ends before `/chat/completions`.

    `options` go along with each request and win over what we would send; `on_usage` hears of every request's tokens.
    """

    base_url: str
    model: str
    api_key: SecretStr = field(default_factory=lambda: SecretStr(""))
    first_token_timeout: timedelta = timedelta(seconds=6)
    total_timeout: timedelta = timedelta(seconds=30)
    attempts: int = 3
    max_response_bytes: int = 1_000_000
    dialect: Dialect = field(default_factory=OpenAiDialect)
    auth: Callable[[str], Mapping[str, str]] = bearer
    options: Mapping[str, Any] = field(default_factory=dict)
    on_usage: Callable[[Usage], None] = _uncounted


class LlmClient:
    """Talks to one model, over `session` (not closed here) or over a pool of its own that the first request opens."""

    def __init__(self, settings: LlmSettings, session: aiohttp.ClientSession | None = None) -> None:
        self._settings = settings
        self._session = session
        self._is_own = session is None
        self._refused: set[str] = set()
        self._retry = stamina.AsyncRetryingCaller(
            attempts=settings.attempts, timeout=settings.total_timeout, wait_initial=0.2, wait_max=2.0, wait_jitter=0.3
        ).on(_may_retry)

    async def close(self) -> None:
        """Close all connections."""
        if self._session and self._is_own:
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
        request = ChatRequest(self._settings.model, messages, stream=True, temperature=temperature, tools=tools)
        deadline = _deadline(self._settings.total_timeout)
        delta, deltas = await self._retry(self._open, request, deadline)
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
        plain = ChatRequest(self._settings.model, plain_json_messages(messages, answer))
        if not self._settings.dialect.has_json_answers:
            return parse_as(answer, await self._retry(self._complete, plain, deadline))
        try:
            by_schema = ChatRequest(self._settings.model, messages, answer=answer)
            text = await self._retry(self._complete, by_schema, deadline)
        except LlmRejectedError:
            text = await self._retry(self._complete, plain, deadline)
        return parse_as(answer, text)

    def _body(self, request: ChatRequest) -> bytes:
        options = {name: value for name, value in self._settings.options.items() if name not in _OURS}
        body = self._settings.dialect.body(request) | options
        return orjson.dumps({name: value for name, value in body.items() if name not in self._refused})

    def _may_do_without(self, error: LlmRejectedError) -> bool:
        """Was a field refused that is only nice to have? Then it is left out from now on."""
        if error.parameter not in _DISPENSABLE - self._refused:
            return False
        self._refused.add(error.parameter)
        return True

    async def _open(self, request: ChatRequest, deadline: float) -> tuple[Delta | None, AsyncGenerator[Delta]]:
        deltas = self._deltas(self._body(request))
        first_token = min(deadline, _deadline(self._settings.first_token_timeout))
        try:
            return await _within(first_token, anext(deltas, None)), deltas
        except LlmRejectedError as error:
            if not self._may_do_without(error):
                raise
        return await self._open(request, deadline)

    async def _deltas(self, body: bytes) -> AsyncGenerator[Delta]:
        assembler = self._settings.dialect.assembler()
        try:
            async with self._post(body) as response:
                async for payload in data_lines(response.content.iter_any(), self._settings.max_response_bytes):
                    for delta in assembler.feed(payload):
                        yield delta
        finally:
            self._count(assembler.usage)
        if not assembler.finished:
            raise LlmUnreachableError("the stream was cut")
        for call in assembler.tool_calls():
            yield call

    def _count(self, usage: Usage | None) -> None:
        if usage:
            self._settings.on_usage(usage)

    async def _complete(self, request: ChatRequest, deadline: float) -> str:
        return await _within(deadline, self._whole_answer(self._body(request)))

    async def _whole_answer(self, body: bytes) -> str:
        async with self._post(body) as response:
            raw = await _read(response, self._settings.max_response_bytes)
        text, usage = self._settings.dialect.content_of(raw)
        self._count(usage)
        return text

    @asynccontextmanager
    async def _post(self, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        url = at(self._settings.base_url, self._settings.dialect.path)
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
            # Calls are bounded by their worker: one that waited for a connection would take the model for a slow one.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
            )
        return self._session

    def _headers(self) -> dict[str, str]:
        key = self._settings.api_key.get_secret_value()
        return {"Content-Type": "application/json", **self._settings.auth(key)}


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
