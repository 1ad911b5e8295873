"""What can be done with batches, each use case in one transaction."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from call_service.batches import events, repository
from call_service.batches.domain import FINAL, Batch, BatchStatus, Contact, Decision
from call_service.batches.errors import (
    BatchBudgetSpentError,
    BatchFinishedError,
    BatchNotFoundError,
    TooManyUploadsError,
)
from call_service.batches.schemas import BatchForm, future
from call_service.batches.upload import MAX_LISTED, Destination, Tally, judged_lines
from call_service.batches.verdicts import ANY_TIME, Judge
from call_service.batches.windows import Interval
from call_service.calls.errors import NoPhoneNumberError
from call_service.calls.repository import wake_workers
from call_service.calls.service import SPOKEN_TEXTS
from call_service.projects import PreparedCall, ProjectDirectory
from shared import placeholders
from shared.db import Database, Tx, storable
from shared.errors import FieldError
from shared.http_client import InvalidUrlError, check_url
from shared.ids import new_id
from shared.pagination import Cursors, PageQuery, page_of
from shared.secret_box import SecretBox

MAX_UPLOADS = 4
LARGE_ROWS = 10_000
MAX_DECISIONS = 100
ALWAYS = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Batches:
    """The use cases about batches, bound to what they need."""

    db: Database
    projects: ProjectDirectory
    cursors: Cursors
    contact_cursors: Cursors
    number_cursors: Cursors
    secrets: SecretBox
    max_rows: int
    allow_private: bool
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_UPLOADS))

    async def upload(self, tenant: str, form: BatchForm) -> tuple[Batch, Tally]:
        """Read a file and queue its contacts, all or nothing.

        Raises:
            FileRefusedError: the file as a whole can't be read.
            InvalidUrlError: the server that is to be asked before each dial can't be.
            ProjectNotFoundError, AgentNotFoundError, ActiveAgentNotSetError, NoPhoneNumberError, TooManyUploadsError
        """
        if form.pre_dial_url:
            await self._check_url(form.pre_dial_url)
        prepared = await self.projects.prepare(tenant, form.project_id, form.agent_id)
        if prepared.from_number is None:
            raise NoPhoneNumberError
        if self.uploads.locked():
            raise TooManyUploadsError
        async with self.uploads, self.db.transaction() as tx:
            return await self._store(tx, tenant, form, prepared)

    async def _check_url(self, url: str) -> None:
        try:
            await check_url(url, self.allow_private)
        except InvalidUrlError as error:
            named = [FieldError("preDialUrl", error.code, error.message)]
            raise InvalidUrlError(error.message, errors=named) from None

    async def _store(self, tx: Tx, tenant: str, form: BatchForm, prepared: PreparedCall) -> tuple[Batch, Tally]:
        now = await tx.fetchval("SELECT now()")
        start = future(form.schedule_at, now)
        judge, tally, batch_id = Judge(required_variables(prepared.agent), form.window, start), Tally(), new_id()
        to = Destination(batch_id, tenant, start)
        await repository.copy_contacts(tx, judged_lines(form.file, judge, tally, to, self.max_rows))
        if tally.total >= LARGE_ROWS:
            await repository.renew_statistics(tx)
        tally.reject(*await repository.reject_repeated(tx, batch_id, MAX_LISTED))
        status = BatchStatus.SCHEDULED if start > now else BatchStatus.RUNNING
        lanes = judge.lanes if form.window else {ANY_TIME: Interval(start, ALWAYS)}
        columns = {
            "id": batch_id,
            "tenant": tenant,
            "project_id": prepared.project_id,
            "agent_id": prepared.agent["id"],
            "agent_version": prepared.agent["version"],
            "agent": prepared.agent,
            "from_number": prepared.from_number,
            "file_name": storable(form.file.name[:200]),
            "status": status.value,
            "total": tally.total,
            "accepted": tally.accepted,
            "schedule_at": start,
            "calling_window": form.window and form.window.model_dump(mode="json"),
            "retry": form.retry.model_dump(mode="json", by_alias=True),
            "max_concurrency": form.max_concurrency,
            "calls_per_second": form.calls_per_second,
            "attempts_per_day": form.attempts_per_day,
            "budget": form.budget,
            "pre_dial_url": form.pre_dial_url,
            "pre_dial_secret": form.pre_dial_secret and self.secrets.seal_text(form.pre_dial_secret.get_secret_value()),
        }
        batch = await repository.insert(tx, columns, lanes)
        await wake_workers(tx)
        return await events.complete_if_done(tx, batch), tally

    async def get(self, tenant: str, batch_id: str) -> Batch:
        """Raises BatchNotFoundError, also for another tenant's batch."""
        batch = await repository.find(self.db, tenant, batch_id)
        if batch is None:
            raise BatchNotFoundError
        return batch

    async def counts(self, batch: Batch) -> dict[str, int]:
        """Contacts by state; those that a canceled batch leaves are `canceled`."""
        counts = await repository.counts(self.db, batch.tenant, batch.id)
        if batch.status is BatchStatus.CANCELED and (left := counts.pop("pending", 0)):
            counts["canceled"] = counts.get("canceled", 0) + left
        return counts

    async def decisions(self, batch: Batch) -> list[Decision]:
        """The latest decisions about the batch as a whole, newest first."""
        return await repository.latest_decisions(self.db, batch.id, MAX_DECISIONS)

    async def page(self, tenant: str, query: PageQuery) -> tuple[list[Batch], str | None]:
        """A page of batches and the cursor of the next one."""
        found = await repository.page(self.db, tenant, query.position(self.cursors), query.limit_and_one)
        return page_of(found, query, self.cursors, lambda batch: batch.id)

    async def contacts(self, batch: Batch, query: PageQuery) -> tuple[list[tuple[Contact, list[Decision]]], str | None]:
        """A page of contacts, each with its evidence, and the cursor of the next one."""
        after = int(query.position(self.contact_cursors) or 0)
        found = await repository.contacts(self.db, batch.tenant, batch.id, after, query.limit_and_one)
        page, cursor = page_of(found, query, self.contact_cursors, lambda contact: str(contact.line))
        evidence = await repository.decisions(self.db, batch.id, [contact.line for contact in page])
        return [(as_left_by(batch, contact), evidence[contact.line]) for contact in page], cursor

    async def pause(self, tenant: str, batch_id: str) -> Batch:
        """After this has returned, no call of the batch starts."""
        async with self.db.transaction() as tx:
            await self._lock_open(tx, tenant, batch_id)
            return await repository.set_status(tx, batch_id, BatchStatus.PAUSED, "paused_by_api")

    async def cancel(self, tenant: str, batch_id: str) -> Batch:
        """After this has returned, no call of the batch starts; live ones go on to their end."""
        async with self.db.transaction() as tx:
            await self._lock_open(tx, tenant, batch_id)
            batch = await repository.set_status(tx, batch_id, BatchStatus.CANCELED, "canceled_by_api")
            return await events.complete_if_done(tx, batch)

    async def resume(self, tenant: str, batch_id: str, budget: Decimal | None) -> Batch:
        """Raises BatchBudgetSpentError unless there is budget left."""
        async with self.db.transaction() as tx:
            batch = await self._lock_open(tx, tenant, batch_id)
            limit = budget or batch.budget
            if limit is not None and limit <= batch.spent:
                raise BatchBudgetSpentError
            resumed = await repository.resume(tx, batch_id, budget)
            await wake_workers(tx)
            return resumed

    @staticmethod
    async def _lock_open(tx: Tx, tenant: str, batch_id: str) -> Batch:
        batch = await repository.lock(tx, tenant, batch_id)
        if batch is None:
            raise BatchNotFoundError
        if batch.status in FINAL:
            raise BatchFinishedError
        return batch

    async def forbid(self, tenant: str, number: str) -> datetime:
        """After this has returned, no call to the number starts."""
        async with self.db.transaction() as tx:
            return await repository.add_do_not_call(tx, tenant, number)

    async def forbidden(self, tenant: str, query: PageQuery) -> tuple[list[tuple[str, datetime]], str | None]:
        """A page of the numbers that must not be called, each since when, and the cursor of the next one."""
        after = query.position(self.number_cursors) or ""
        found = await repository.do_not_call_after(self.db, tenant, after, query.limit_and_one)
        return page_of(found, query, self.number_cursors, lambda entry: entry[0])

    async def forbidden_since(self, tenant: str, number: str) -> datetime | None:
        return await repository.do_not_call_since(self.db, tenant, number)

    async def allow(self, tenant: str, number: str) -> bool:
        """False: the number was not on the list."""
        return await repository.remove_do_not_call(self.db, tenant, number)


async def cancel_batches(tx: Tx, project_id: str) -> None:
    """Cancel what a deleted project has left to call."""
    for batch in await repository.cancel_of_project(tx, project_id):
        await events.complete_if_done(tx, batch)


def as_left_by(batch: Batch, contact: Contact) -> Contact:
    """A contact that a canceled batch will not call any more is canceled too."""
    if batch.status is BatchStatus.CANCELED and contact.state == "pending":
        return replace(contact, state="canceled", reason="canceled_by_api")
    return contact


def required_variables(agent: Mapping[str, Any]) -> list[str]:
    """The placeholders of the agent's spoken texts."""
    texts = (agent[name] for name in SPOKEN_TEXTS if agent.get(name))
    return list(dict.fromkeys(name for text in texts for name in placeholders.names(text)))
