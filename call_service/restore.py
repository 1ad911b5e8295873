"""After a restore from a backup, nobody is called whom the lost hours may have called already.

What the backup shows as waiting may have been dialled between the backup and the loss, and nothing in it can tell. So
all of it ends `failed`, `outcome_unknown`: the queued calls, and the contacts of batches that had begun. Calls
that the backup shows as live belong to workers that are gone; the sweeper ends them as it always does.
"""

from dataclasses import dataclass

from call_service.batches import dialing_queries
from call_service.batches.events import complete_if_done
from call_service.batches.repository import batch_of
from call_service.calls import repository
from call_service.calls.domain import Outcome, Status
from call_service.calls.wrap_up import end_queued
from shared.db import Database, Tx
from shared.errors import ConflictError

RESTORED = Outcome(Status.FAILED, "outcome_unknown", "platform")
# No feed has given so many numbers since a backup: cursors from after it point before what comes from now on.
_FEED_LEAP = 1_000_000_000

_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
    AND application_name = current_setting('application_name')
"""
_PARK = """
WITH begun AS (
    SELECT id FROM batches WHERE completed_at IS NULL AND schedule_at <= now() FOR UPDATE
), parked AS (
    UPDATE batch_contacts SET state = $1, reason = $2, ended_at = now() FROM begun
    WHERE batch_id = begun.id AND state = 'pending' RETURNING batch_id
), counted AS (
    SELECT begun.id, count(parked.batch_id) AS contacts
    FROM begun LEFT JOIN parked ON parked.batch_id = begun.id GROUP BY begun.id
)
UPDATE batches SET finished = finished + counted.contacts FROM counted WHERE batches.id = counted.id
RETURNING batches.*, counted.contacts
"""


class StillRunningError(ConflictError):
    """Other processes of call_service are connected; stop all of them first."""

    code = "still_running"


@dataclass(frozen=True, slots=True)
class Parked:
    """How many will not be dialled."""

    calls: int
    contacts: int


async def begin_epoch(db: Database, public_url: str) -> Parked:
    """Park what may have been dialled, in one transaction. Before any worker starts on the restored database.

    Raises:
        StillRunningError: somebody else uses it already.
    """
    async with db.transaction() as tx:
        if await tx.fetchval(_OTHERS):
            raise StillRunningError
        await tx.execute("UPDATE feed_head SET last = last + $1", _FEED_LEAP)
        contacts = await _park_contacts(tx)
        queued = await repository.lock_all_queued(tx)
        for call in queued:
            await end_queued(tx, call, RESTORED, public_url)
    return Parked(len(queued), contacts)


async def _park_contacts(tx: Tx) -> int:
    parked = await tx.fetch(_PARK, RESTORED.status.value, RESTORED.reason)
    for row in parked:
        batch = batch_of(row)
        await dialing_queries.note(tx, batch.id, None, "park", "restored", contacts=row["contacts"])
        await complete_if_done(tx, batch)
    return sum(row["contacts"] for row in parked)
