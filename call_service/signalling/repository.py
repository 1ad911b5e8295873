"""Every query about the SIP messages of calls."""

from collections.abc import Sequence
from dataclasses import astuple
from datetime import datetime
from typing import Any

from call_service.signalling.ladder import LadderEntry
from shared.db import Database, Tx


async def add(tx: Tx, call_id: str, entries: Sequence[LadderEntry]) -> None:
    """Keep the messages of a call; the transaction holds its fence, or the call was never anybody's."""
    await tx.execute(
        "INSERT INTO call_sip (call_id, messages) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        call_id,
        [astuple(entry) for entry in entries],
    )


async def of_call(db: Database, call_id: str) -> list[LadderEntry]:
    """Oldest first; none when nothing was kept."""
    kept = await db.fetchval("SELECT messages FROM call_sip WHERE call_id = $1", call_id)
    return [entry_of(message) for message in kept or ()]


def entry_of(message: Sequence[Any]) -> LadderEntry:
    """A message as stored."""
    at, is_sent, transport, local, peer, text = message
    return LadderEntry(datetime.fromisoformat(at), is_sent, transport, tuple(local), tuple(peer), text)
