"""The mail queue: filled inside a use case's transaction, emptied behind it, so that no request waits for SMTP."""

import asyncio
from datetime import datetime, timedelta

import asyncpg
import structlog
from aiohttp import web

from auth_service.mail import repository
from auth_service.mail.port import Mail, Mailer, MailFailedError
from shared.backoff import backoff_seconds
from shared.clock import Clock
from shared.db import Database, DatabaseUnavailableError, Tx
from shared.secret_box import SecretBox

log = structlog.get_logger(__name__)

BATCH = 8
POLL_SECONDS = 2.0
GIVE_UP_AFTER = timedelta(days=1)


class MailQueue:
    """Sends what is queued; a crash between sending and forgetting sends a mail twice."""

    def __init__(self, db: Database, mailer: Mailer, box: SecretBox, clock: Clock) -> None:
        self._db = db
        self._mailer = mailer
        self._box = box
        self._clock = clock
        self._wake = asyncio.Event()

    async def add(self, tx: Tx, mail: Mail, give_up_after: timedelta = GIVE_UP_AFTER) -> None:
        """Queue `mail`. One without a recipient is dropped when its turn comes: the work for a stranger's address."""
        await repository.add(tx, self._box, mail, self._clock.now(), give_up_after)

    async def run(self) -> None:
        """Until cancelled: woken by NOTIFY, polling for what is to be tried again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._db.listen(f"{self._db.schema}_mail", lambda _: self._wake.set(), self._wake.set))
            group.create_task(self._send_forever())

    async def send_due(self) -> int:
        """Send one batch; how many were claimed."""
        async with self._db.transaction() as tx:
            claimed = await repository.claim(tx, self._box, self._clock.now(), BATCH)
        await asyncio.gather(*(self._settle(*row) for row in claimed))
        return len(claimed)

    async def _send_forever(self) -> None:
        while True:
            self._wake.clear()
            try:
                is_full = await self.send_due() == BATCH
            except (DatabaseUnavailableError, asyncpg.PostgresError):
                log.warning("mail queue unreadable", exc_info=True)
                is_full = False
            if not is_full:
                await self._idle()

    async def _settle(self, mail_id: str, mail: Mail, failures: int, give_up_at: datetime) -> None:
        until = None if await self._was_sent(mail) else self._next_try(failures, give_up_at)
        async with self._db.transaction() as tx:
            if until is None:
                await repository.delete(tx, mail_id)
            else:
                await repository.postpone(tx, mail_id, until)

    async def _was_sent(self, mail: Mail) -> bool:
        try:
            if mail.recipient:
                await self._mailer.send(mail)
        except MailFailedError as error:
            log.warning("mail failed", cause=str(error))
            return False
        except Exception:
            log.exception("mail failed")  # one strange mail must not stop the others
            return False
        return True

    def _next_try(self, failures: int, give_up_at: datetime) -> datetime | None:
        until = self._clock.now() + timedelta(seconds=backoff_seconds(failures, base=2, cap=600))
        if until < give_up_at:
            return until
        log.error("mail given up", failures=failures + 1)
        return None

    async def _idle(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return


MAIL = web.AppKey("mail", MailQueue)
