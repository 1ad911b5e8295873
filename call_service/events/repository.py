"""Every query about the feed: all events of this service in one order, to which nothing is ever added but at its end.

Positions of the outbox are given before a commit and become visible out of order, so a reader behind a position would
pass over a slow transaction for ever. Numbers of the feed are given after it, by one transaction at a time.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from shared.db import Database, Record
from shared.events import Event
from shared.tokens import Principal


@dataclass(frozen=True)
class Numbered:
    """An event and its place in the feed."""

    number: int
    event: Event

    @cached_property
    def body(self) -> bytes:
        """The event as JSON, made once for all streams."""
        return self.event.to_bytes()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events of a tenant: those of all given kinds; nothing given means all."""

    tenant: str
    types: frozenset[str] = frozenset()
    project_id: str | None = None
    subject: str | None = None

    def has(self, event: Event) -> bool:
        return (
            event.tenant == self.tenant
            and (not self.types or event.type in self.types)
            and self.project_id in {None, event.project_id}
            and self.subject in {None, event.subject}
        )


def _numbered(row: Record) -> Numbered:
    return Numbered(row["number"], Event.model_validate({**row, "id": str(row["id"])}))


async def number(db: Database, batch: int) -> int:
    """Number up to `batch` new events; how many. 0 also while another process is at it."""
    return int(await db.fetchval("SELECT number_feed($1)", batch))


async def head(db: Database) -> int:
    """The last number."""
    return int(await db.fetchval("SELECT last FROM feed_head"))


async def of_tenants(db: Database, tenants: Collection[str], after: int, until: int, limit: int) -> list[Numbered]:
    """The events of several tenants with `after < number <= until`, in order."""
    rows = await db.fetch(
        """SELECT feed.number, outbox.* FROM feed JOIN outbox USING (position)
            WHERE feed.tenant = ANY($1::text[]) AND number > $2 AND number <= $3 ORDER BY number LIMIT $4""",
        list(tenants),
        after,
        until,
        limit,
    )
    return [_numbered(row) for row in rows]


async def selected(db: Database, selection: Selection, after: int, until: int, limit: int) -> list[Numbered]:
    """The events of one tenant with `after < number <= until`, in order."""
    rows = await db.fetch(
        """SELECT feed.number, outbox.* FROM feed JOIN outbox USING (position)
            WHERE feed.tenant = $1 AND number > $2 AND number <= $3
              AND (cardinality($4::text[]) = 0 OR type = ANY($4))
              AND ($5::text IS NULL OR project_id = $5) AND ($6::text IS NULL OR subject = $6)
            ORDER BY number LIMIT $7""",
        selection.tenant,
        after,
        until,
        list(selection.types),
        selection.project_id,
        selection.subject,
        limit,
    )
    return [_numbered(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The project and the call that a stream token is for, or that a request asks about."""

    project_id: str | None = None
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class TokenOwner:
    """For whom a stream token speaks."""

    user_id: str
    credential: str
    session_id: str | None
    key_sha256: str | None


async def keep_token(db: Database, token_hash: bytes, owner: Principal, bounds: Bounds, lifetime: timedelta) -> None:
    """Keep a stream token for its lifetime."""
    await db.execute(
        """INSERT INTO stream_tokens (hash, tenant, credential, session_id, key_sha256, project_id, call_id, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, now() + $8::interval)""",
        token_hash,
        owner.tenant,
        owner.credential,
        owner.session_id,
        owner.key_sha256,
        bounds.project_id,
        bounds.call_id,
        lifetime,
    )


async def take_token(db: Database, token_hash: bytes, bounds: Bounds) -> TokenOwner | None:
    """Use a live token up, if what is asked about is what it is for."""
    row = await db.fetchrow(
        """DELETE FROM stream_tokens WHERE hash = $1 AND expires_at > now()
               AND coalesce(project_id = $2, project_id IS NULL) AND coalesce(call_id = $3, call_id IS NULL)
           RETURNING tenant AS user_id, credential, session_id, key_sha256""",
        token_hash,
        bounds.project_id,
        bounds.call_id,
    )
    return TokenOwner(**row) if row else None


PRUNE_TOKENS = """
DELETE FROM stream_tokens WHERE hash IN (
    SELECT hash FROM stream_tokens WHERE expires_at < now() - $1::interval ORDER BY expires_at LIMIT $2
)
"""
