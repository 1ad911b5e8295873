"""Asks the customer's server before each call of a batch that names one: nobody is dialled whom it has not agreed to.

It is asked before the intent, by the worker that holds the call and outside any transaction. A call that another worker
takes over is asked about again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

import orjson
import stamina
import structlog
from cryptography.exceptions import InvalidTag
from pydantic import BaseModel, Field, StrictBool, ValidationError

from call_service.batches import dialing_queries as queries
from call_service.batches import rules
from call_service.batches.dialing import DECISIONS
from call_service.batches.dialing_queries import Hook
from call_service.calls.domain import Call, Outcome, Status
from call_service.calls.schemas import Variables
from call_service.calls.service import fill_agent
from shared.clock import Clock
from shared.db import Database, storable
from shared.http_client import Answer, DeliveryFailedError, InvalidUrlError
from shared.ids import new_id
from shared.secret_box import SecretBox
from shared.signatures import signed_headers

log = structlog.get_logger(__name__)

PURPOSE = "call:pre-dial"
TIMEOUT = timedelta(seconds=3)
# Requests of one worker to one server; those that wait for their turn use up their time-out.
AT_ONCE = 20
ATTEMPTS = 2
MAX_REASON = 200

_REFUSED = Outcome(Status.CANCELED, rules.PRE_DIAL_REFUSED, "tenant")
_FAILED = Outcome(Status.CANCELED, rules.PRE_DIAL_FAILED, "tenant")


class Poster(Protocol):
    """Sends requests; `shared.http_client.GuardedClient` does."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises InvalidUrlError, DeliveryFailedError."""


class PreDialAnswer(BaseModel):
    """What the customer's server says."""

    call: StrictBool
    reason: str | None = None
    variables: Variables = Field(default_factory=dict)


class Consent(NamedTuple):
    """Whether a call may be dialled, `refusal` being how it ends instead; with `variables`, as whom it is called."""

    refusal: Outcome | None = None
    agent: dict[str, Any] | None = None
    variables: dict[str, str] | None = None


class _UnusableError(Exception):
    """No answer that could be acted on; the text says why in a word."""


class _PassingError(_UnusableError):
    """One that may be better a moment later."""


@dataclass(frozen=True, slots=True)
class PreDial:
    """Asks on behalf of one worker. `client` has the time-out and the bound on requests to one server."""

    db: Database
    client: Poster
    secrets: SecretBox
    clock: Clock
    retry_seconds: float = 0.2

    async def ask(self, call: Call) -> Consent:
        """Whether the call may be dialled; it may where there is nobody to ask. Leaves evidence.

        Raises:
            DatabaseUnavailableError
        """
        if call.batch_id is None or call.batch_line is None:
            return Consent()
        hook = await queries.hook_of(self.db, call.batch_id, call.batch_line)
        if hook is None:
            return Consent()
        try:
            answer = await self._answer(hook, call)
        except _UnusableError as error:
            await self._note(call, rules.PRE_DIAL_FAILED, cause=str(error))
            return Consent(_FAILED)
        if not answer.call:
            await self._note(call, rules.PRE_DIAL_REFUSED, said=storable(answer.reason or "")[:MAX_REASON])
            return Consent(_REFUSED)
        await self._note(call, rules.PRE_DIAL_AGREED, variables=sorted(answer.variables))
        if not answer.variables:
            return Consent()
        variables = {**call.dynamic_variables, **answer.variables}
        return Consent(None, fill_agent(hook.agent, variables), variables)

    async def _answer(self, hook: Hook, call: Call) -> PreDialAnswer:
        question = {
            "batchId": call.batch_id,
            "callId": call.id,
            "line": call.batch_line,
            "number": call.to_number,
            "variables": call.dynamic_variables,
            "attempt": hook.attempt,
        }
        message_id, body = new_id(), orjson.dumps(question).decode()
        async for attempt in stamina.retry_context(
            on=_PassingError, attempts=ATTEMPTS, timeout=None, wait_initial=self.retry_seconds, wait_jitter=0.5
        ):
            with attempt:
                return _read(await self._post(hook, message_id, body))
        raise AssertionError("an attempt either returns or raises")

    async def _post(self, hook: Hook, message_id: str, body: str) -> Answer:
        secret = self._opened(hook.secret)
        headers = signed_headers(message_id, self.clock.now(), body, [secret])
        try:
            return await self.client.post(hook.url, body.encode(), headers)
        except InvalidUrlError as error:
            raise _UnusableError(error.code) from error
        except DeliveryFailedError as error:
            raise _PassingError(error.cause) from error

    def _opened(self, sealed: str) -> str:
        try:
            return self.secrets.open_text(sealed)
        except (InvalidTag, ValueError) as error:  # a ValueError: it is not even base64
            log.error("the secret of a batch can't be decrypted: it was sealed with another ENCRYPTION_KEY")  # noqa: TRY400
            raise _UnusableError("secret_unreadable") from error

    async def _note(self, call: Call, came_of_it: str, **detail: Any) -> None:
        DECISIONS.labels("ask", came_of_it).inc()
        assert call.batch_id is not None
        async with self.db.transaction() as tx:
            await queries.note(tx, call.batch_id, call.batch_line, "ask", came_of_it, call_id=call.id, **detail)


def _read(answer: Answer) -> PreDialAnswer:
    if answer.status >= 500 or answer.status == 429:
        raise _PassingError(f"http_{answer.status}")
    if not 200 <= answer.status < 300:
        raise _UnusableError(f"http_{answer.status}")
    try:
        read = PreDialAnswer.model_validate(orjson.loads(answer.body))
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise _UnusableError("invalid_answer") from error
    if any("\x00" in text for pair in read.variables.items() for text in pair):  # Postgres can't store it
        raise _UnusableError("invalid_answer")
    return read
