"""The transactional outbox: events commit with the change they report, and a relay publishes them afterwards.

https://microservices.io/patterns/data/transactional-outbox.html
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import asyncpg
import orjson
import structlog
from prometheus_client import Gauge

from shared.backoff import backoff_seconds
from shared.bus import EventBus
from shared.db import Database, DatabaseUnavailableError, Record, Tx
from shared.events import Event
from shared.ids import new_id
from shared.measuring import MOST_COUNTED, measure_forever
from shared.pruning import prune_forever

log = structlog.get_logger(__name__)

# One DO block, because a migration's driver takes one statement at a time. `data` is json, not jsonb: it is passed on
# as it came, and jsonb refuses U+0000, which a transcript may hold.
OUTBOX_TABLES = """
DO $$
BEGIN
    CREATE TABLE event_sequences (
        subject text PRIMARY KEY,
        last bigint NOT NULL
    );
    CREATE TABLE outbox (
        position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id uuid NOT NULL,
        type text NOT NULL,
        time timestamptz NOT NULL,
        source text NOT NULL,
        subject text NOT NULL,
        tenant text NOT NULL,
        project_id text,
        sequence bigint NOT NULL,
        data json NOT NULL,
        published_at timestamptz,
        UNIQUE (subject, sequence)
    );
    CREATE INDEX outbox_unpublished ON outbox (position) WHERE published_at IS NULL;
    CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;
END $$
"""

MAX_DATA_BYTES = 1 << 20
RETENTION = timedelta(days=7)  # of what is published

_ADD = """
WITH next AS (
    INSERT INTO event_sequences AS known (subject, last) VALUES ($4, 1)
    ON CONFLICT (subject) DO UPDATE SET last = known.last + 1
    RETURNING last
)
INSERT INTO outbox (id, type, time, source, subject, tenant, project_id, sequence, data)
SELECT $1, $2, date_trunc('milliseconds', clock_timestamp()), $3, $4, $5, $6, next.last, $7::text::json FROM next
RETURNING time, sequence, pg_notify(current_schema() || '_outbox', '')
"""

_CLAIM = """
SELECT * FROM outbox WHERE published_at IS NULL ORDER BY position LIMIT $1 FOR UPDATE SKIP LOCKED
"""

_MARK = "UPDATE outbox SET published_at = now() WHERE position = ANY($1::bigint[])"

_AFTER = "SELECT * FROM outbox WHERE subject = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"

_PRUNE = """
DELETE FROM outbox WHERE position IN (
    SELECT position FROM outbox WHERE published_at < now() - $1::interval ORDER BY published_at LIMIT $2
)
"""


_WAITING = """
SELECT count(*) AS number, coalesce(extract(epoch FROM now() - min(time)), 0) AS seconds
FROM (SELECT time FROM outbox WHERE published_at IS NULL ORDER BY position LIMIT $1) AS waiting
"""

WAITING = Gauge("talkstack_outbox_events", "Events that wait for the broker, 10 000 at most.", ["schema"])
OLDEST = Gauge("talkstack_outbox_oldest_seconds", "How long the first of them has waited.", ["schema"])


async def add(
    tx: Tx,
    *,
    source: str,
    type: str,  # noqa: A002 - the envelope's own name
    subject: str,
    tenant: str,
    project_id: str | None,
    data: Mapping[str, Any],
) -> Event:
    """Record an event inside the transaction `tx`; it exists if and only if that commits.

    The row of `event_sequences` stays locked until then, which keeps `sequence` without gaps per `subject`.

    Raises:
        ValueError: `type` is malformed, or `data` is over 1 MiB, which would cut the relay's connection.
        TypeError: `data` holds something that JSON cannot.
    """
    body = orjson.dumps(dict(data))
    if len(body) > MAX_DATA_BYTES:
        raise ValueError(f"the data of {type} has {len(body)} bytes; {MAX_DATA_BYTES} are allowed")
    event_id = new_id()
    row = await tx.fetchrow(_ADD, event_id, type, source, subject, tenant, project_id, body.decode())
    assert row is not None
    return Event(
        id=event_id,
        type=type,
        time=row["time"],
        source=source,
        subject=subject,
        tenant=tenant,
        project_id=project_id,
        sequence=row["sequence"],
        data=dict(data),
    )


async def events_after(db: Database, subject: str, sequence: int, limit: int) -> list[Event]:
    """The events of one subject past `sequence`, in order, as far back as the relay's retention.

    It does not know tenants: the caller has checked that `subject` is the tenant's own.
    """
    return [_event(row) for row in await db.fetch(_AFTER, subject, sequence, limit)]


async def last_sequence(db: Database, subject: str) -> int:
    """The sequence of the last event of one subject, 0 when there was none. It does not know tenants either."""
    return int(await db.fetchval("SELECT last FROM event_sequences WHERE subject = $1", subject) or 0)


def _event(row: Record) -> Event:
    return Event.model_validate({**row, "id": str(row["id"])})


class _Batch(NamedTuple):
    claimed: int
    confirmed: int


class Relay:
    """Publishes what the outbox holds. Any number may run beside each other.

    Rows are claimed by state, never by "position > last": positions become visible in the order of commits, so a
    cursor would pass over a slow transaction's rows for ever. A crash between publishing and marking publishes again,
    which `shared.inbox` expects. Two relays, or a retry, may swap events of one subject; `sequence` tells.
    """

    def __init__(
        self,
        db: Database,
        bus: EventBus,
        *,
        batch: int = 256,
        poll_seconds: float = 1.0,
        publish_timeout_seconds: float = 10,
        retention: timedelta = RETENTION,
    ) -> None:
        self._db = db
        self._bus = bus
        self._batch = batch
        self._poll_seconds = poll_seconds
        self._publish_timeout_seconds = publish_timeout_seconds
        self._retention = retention
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled: wakes by NOTIFY, and polls because notifications can be lost."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._db.listen(f"{self._db.schema}_outbox", lambda _: self._wake.set(), self._wake.set))
            group.create_task(prune_forever(self._db, _PRUNE, self._retention))
            group.create_task(measure_forever(self.measure))
            group.create_task(self._publish_forever())

    async def drain_once(self) -> int:
        """Publish one batch; how many the broker confirmed."""
        return (await self._publish_batch()).confirmed

    async def measure(self) -> None:
        """Set the gauges of this outbox."""
        [waiting] = await self._db.fetch(_WAITING, MOST_COUNTED)
        WAITING.labels(self._db.schema).set(waiting["number"])
        OLDEST.labels(self._db.schema).set(waiting["seconds"])

    async def _publish_forever(self) -> None:
        failures = 0
        while True:
            self._wake.clear()
            done = await self._try_batch()
            if done is None or done.confirmed < done.claimed:
                await asyncio.sleep(backoff_seconds(failures, cap=10))
                failures += 1
            else:
                failures = 0
                if done.claimed < self._batch:
                    await self._idle()

    async def _try_batch(self) -> _Batch | None:
        try:
            done = await self._publish_batch()
        except (DatabaseUnavailableError, asyncpg.PostgresError) as error:
            log.warning("outbox_unreadable", cause=repr(error.__cause__ or error))
            return None
        if done.confirmed < done.claimed:
            log.warning("outbox_unconfirmed", unconfirmed=done.claimed - done.confirmed)
        return done

    async def _publish_batch(self) -> _Batch:
        async with self._db.transaction() as tx:
            rows = await tx.fetch(_CLAIM, self._batch)
            if not rows:
                return _Batch(0, 0)
            confirmed = await self._bus.publish_many(map(_event, rows), self._publish_timeout_seconds)
            await tx.execute(_MARK, [row["position"] for row in rows if str(row["id"]) in confirmed])
        return _Batch(len(rows), len(confirmed))

    async def _idle(self) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._wake.wait()
        except TimeoutError:
            return
