"""Calls that came in by a trunk and were refused: the last of each trunk, for whoever wonders where they went."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta

from call_service.signalling.ladder import LadderEntry
from call_service.signalling.repository import entry_of
from shared.db import Database, Tx
from shared.ids import new_id

KEPT = 50
KEPT_FOR = timedelta(days=7)
MAX_MESSAGES = 20

# The age and how many at a time, for `shared.pruning`.
PRUNE = """
DELETE FROM trunk_refusals WHERE id IN (
    SELECT id FROM trunk_refusals WHERE refused_at < now() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED)
"""
_ADD = """
INSERT INTO trunk_refusals (id, trunk_id, call_id, from_number, to_number, sip_code, reason, messages, refused_at)
SELECT $1, id, $3, $4, $5, $6, $7, $8, clock_timestamp() FROM trunks WHERE id = $2
"""
_FORGET_OLDER = """
DELETE FROM trunk_refusals WHERE id IN (
    SELECT id FROM trunk_refusals WHERE trunk_id = $1 ORDER BY refused_at DESC, id DESC OFFSET $2
    FOR UPDATE SKIP LOCKED)
"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused call; `call_id` where it was kept as a call."""

    call_id: str | None
    from_number: str
    to_number: str
    sip_code: int
    reason: str
    messages: Sequence[LadderEntry]
    refused_at: datetime | None = None


async def add(tx: Tx, trunk_id: str, refusal: Refusal) -> None:
    """Keep it, and no more than the last 50 of the trunk; nothing where the trunk is gone."""
    await tx.execute(
        _ADD,
        new_id(),
        trunk_id,
        refusal.call_id,
        refusal.from_number,
        refusal.to_number,
        refusal.sip_code,
        refusal.reason,
        [astuple(entry) for entry in refusal.messages[-MAX_MESSAGES:]],
    )
    await tx.execute(_FORGET_OLDER, trunk_id, KEPT)


async def of_trunk(db: Database, tenant: str, trunk_id: str) -> list[Refusal]:
    """Those of the last week, newest first."""
    rows = await db.fetch(
        """SELECT refusals.* FROM trunk_refusals AS refusals JOIN trunks ON trunks.id = trunk_id
            WHERE tenant = $1 AND trunk_id = $2 AND refused_at > now() - $3::interval
            ORDER BY refused_at DESC, refusals.id DESC LIMIT $4""",
        tenant,
        trunk_id,
        KEPT_FOR,
        KEPT,
    )
    return [
        Refusal(
            str(row["call_id"]) if row["call_id"] else None,
            row["from_number"],
            row["to_number"],
            row["sip_code"],
            row["reason"],
            [entry_of(message) for message in row["messages"]],
            row["refused_at"],
        )
        for row in rows
    ]
