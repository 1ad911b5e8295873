"""Keeps what becomes of refused calls for the owners of their trunks, in the background and never many at a time."""

import asyncio

import asyncpg
import structlog
from prometheus_client import Counter

from call_service.carriers.numbers import caller_of, e164_of
from call_service.carriers.port import RefusedCall
from call_service.inbound import repository
from call_service.signalling import repository as signalling
from call_service.trunks import refusals
from call_service.trunks.refusals import Refusal
from shared.db import Database, DatabaseUnavailableError

log = structlog.get_logger(__name__)

DROPPED = Counter("talkstack_worker_dropped_refusals", "Refused calls that could not be kept for the trunk's owner.")

MAX_PENDING = 20
TIMEOUT_SECONDS = 10.0


class RefusalLog:
    """Of one worker."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Let what is being kept be kept."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def note(self, refused: RefusedCall, call_id: str | None = None) -> None:
        """Keep a refusal, with the messages of it also with the call `call_id` that was made of it."""
        if len(self._tasks) >= MAX_PENDING:
            DROPPED.inc()
            return
        task = asyncio.create_task(self._note(refused, call_id), name="refused call")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _note(self, refused: RefusedCall, call_id: str | None) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._keep(refused, call_id)
        except (DatabaseUnavailableError, asyncpg.PostgresError, TimeoutError) as error:
            DROPPED.inc()
            log.warning("refused call not kept", cause=repr(error))

    async def _keep(self, refused: RefusedCall, call_id: str | None) -> None:
        """Where several customers' trunks may be meant, none of them is shown who called whom."""
        owners = await repository.tenants_of_trunks(self._db, refused.trunks)
        if len(set(owners.values())) != 1:
            return
        messages = refused.ladder.entries
        refusal = Refusal(
            call_id,
            caller_of(refused.from_),
            e164_of(refused.to) or caller_of(refused.to),
            refused.sip_code,
            refused.reason,
            messages,
        )
        async with self._db.transaction() as tx:
            await refusals.add(tx, next(iter(owners)), refusal)
            if call_id:
                await signalling.add(tx, call_id, messages)
