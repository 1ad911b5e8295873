"""A function of the agent's owner, called over HTTP while the caller waits."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson
import stamina
from pydantic import SecretStr
from yarl import URL

from call_service.tools.tool import FollowUp, Result
from shared.http_client import Answer, DeliveryFailedError, GuardedClient, InvalidUrlError

MAX_RESULT_CHARS = 4_000
PER_HOST = 50
_BUSY = frozenset({429, 502, 503, 504})
_IN_QUERY = frozenset({"GET", "DELETE"})
_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET = re.compile(r"\{\{\s*secrets\.([a-z][a-z0-9_]{0,39})\s*\}\}")

Secrets = Callable[[], Awaitable[Mapping[str, SecretStr]]]


class _BusyError(Exception):
    """The other side asks to try again; it has done nothing."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class _UnusableError(Exception):
    """The request can't be made; the text is for the model."""

    def __init__(self, error: str, text: str) -> None:
        super().__init__(text)
        self.error = error


@dataclass(frozen=True, slots=True)
class Target:
    """Where the requests go. `timeout_seconds` is for all attempts together."""

    url: str
    method: str
    headers: Mapping[str, str]
    timeout_seconds: float
    retries: int


@dataclass(frozen=True, slots=True)
class HttpTool:
    """One function. The other side learns the call from `X-Talkstack-Call-Id`, and repeats from `Idempotency-Key`."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    filler: str | None
    target: Target
    call_id: str
    client: GuardedClient
    secrets: Secrets
    kind: str = "http"
    follow_up: FollowUp = "always"

    async def run(self, arguments: Mapping[str, Any], use_id: str) -> Result:
        """What the other side answers, cut to what a model can read in time."""
        try:
            async with asyncio.timeout(self.target.timeout_seconds):
                url, body = _request(self.target, arguments)
                headers = await self._headers(use_id)
                return _result(await self._answer(url, body, headers))
        except TimeoutError:
            return Result("No answer came in time.", "timeout")
        except DeliveryFailedError as error:
            return Result("The other side could not be reached.", error.cause)
        except InvalidUrlError:
            return Result("This tool leads to no place that can be called.", "invalid_url")
        except _UnusableError as error:
            return Result(str(error), error.error)

    async def _headers(self, use_id: str) -> dict[str, str]:
        headers = {
            "Accept-Encoding": "identity",
            "X-Talkstack-Call-Id": self.call_id,
            "Idempotency-Key": use_id,
            **self.target.headers,
        }
        if self.target.method not in _IN_QUERY:
            headers["Content-Type"] = "application/json"
        if not any(_SECRET.search(value) for value in self.target.headers.values()):
            return headers
        known = await self.secrets()
        return {name: _SECRET.sub(lambda found: _secret(known, found[1]), value) for name, value in headers.items()}

    async def _answer(self, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        try:
            async for attempt in stamina.retry_context(
                on=(_BusyError, DeliveryFailedError),
                attempts=1 + self.target.retries,
                timeout=None,
                wait_initial=0.2,
                wait_max=1.0,
                wait_jitter=0.2,
            ):
                with attempt:
                    answer = await self.client.request(self.target.method, url, body, headers)
                    _require_time(answer)
        except _BusyError as error:
            return error.answer
        return answer


def _require_time(answer: Answer) -> None:
    if answer.status in _BUSY:
        raise _BusyError(answer)


def _secret(known: Mapping[str, SecretStr], name: str) -> str:
    if name not in known:
        raise _UnusableError("secret_missing", "This tool does not work at present.")
    return known[name].get_secret_value()


def _request(target: Target, arguments: Mapping[str, Any]) -> tuple[str, bytes | None]:
    """The URL with its places filled, and what is left of the arguments as the body, or behind it in the query."""
    places = set(_PLACE.findall(target.url))
    url = _PLACE.sub(lambda found: _in_path(found[1], arguments.get(found[1])), target.url)
    left = {name: value for name, value in arguments.items() if name not in places}
    if target.method not in _IN_QUERY:
        return url, orjson.dumps(left)
    return str(URL(url, encoded=True).update_query([pair for item in left.items() for pair in _in_query(*item)])), None


def _in_path(name: str, value: Any) -> str:
    """Nothing that a path could be led astray with."""
    text = _text(value)
    if text in {"", ".", ".."}:
        raise _UnusableError("invalid_arguments", f"The argument {name} has no usable value.")
    return quote(text, safe="")


def _in_query(name: str, value: Any) -> list[tuple[str, str]]:
    return [(name, _text(item)) for item in value] if isinstance(value, list) else [(name, _text(value))]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


def _result(answer: Answer) -> Result:
    text = _compact(answer.body.decode(errors="replace"))
    if not 200 <= answer.status < 300:
        return Result(f"It answered with HTTP status {answer.status}: {text}", f"http_{answer.status}")
    return Result(text or "Done; there is no more to say about it.")


def _compact(text: str) -> str:
    try:
        text = orjson.dumps(orjson.loads(text)).decode()
    except orjson.JSONDecodeError:
        text = " ".join(text.split())
    return text if len(text) <= MAX_RESULT_CHARS else f"{text[:MAX_RESULT_CHARS]} … (the rest is cut off)"
