"""The queue of deliveries: add, claim, settle. A claim is a lease: `next_at` in the future and a fencing id.

Deliveries about one subject (a call) go out one after the other in the order of their sequence: the first open one is
`pending`, those behind it `waiting`. Whoever changes the open ones holds the subject's advisory lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from project_service.fields import values
from project_service.webhooks.schedule import FAILING_TOO_LONG, Outcome, Verdict
from shared.db import Database, Tx
from shared.ids import new_id

PER_ENDPOINT = 10
PER_FAILING_ENDPOINT = 2
# Events of one call are handled concurrently and may come in a wrong order: this is how long a delivery waits for the
# one before it to turn up.
REORDER_GRACE = timedelta(milliseconds=300)


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be delivered, `body` exactly as it is signed."""

    id: str
    tenant: str
    project_id: str
    event_id: str
    type: str
    subject: str
    sequence: int
    body: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is this worker's until its lease ends; `sealed_secrets` are encrypted."""

    id: str
    tenant: str
    project_id: str
    subject: str
    body: str
    attempts: int
    claim: str
    url: str
    sealed_secrets: list[str]


async def lock_subjects(tx: Tx, subjects: Sequence[str]) -> None:
    """Serialise changes to the deliveries about these subjects; in one order, so that two lockers can't deadlock."""
    await tx.fetch(
        """SELECT pg_advisory_xact_lock(key)
           FROM (SELECT DISTINCT hashtextextended(subject, 0) AS key FROM unnest($1::text[]) AS subject
                 ORDER BY key) AS keys""",
        list(subjects),
    )


async def arrange(tx: Tx, subjects: Sequence[str], due_in: timedelta = timedelta()) -> None:
    """Let the first open delivery of each subject go, and the others wait; wakes the workers when it is due."""
    await tx.execute(
        """UPDATE webhook_deliveries d SET status = CASE WHEN d.sequence = o.first THEN 'pending' ELSE 'waiting' END
           FROM (SELECT project_id, subject, min(sequence) AS first FROM webhook_deliveries
                 WHERE subject = ANY($1) AND status IN ('pending', 'waiting') GROUP BY project_id, subject) o
           WHERE d.project_id = o.project_id AND d.subject = o.subject AND d.status IN ('pending', 'waiting')
               AND (d.status = 'pending') <> (d.sequence = o.first)""",
        list(subjects),
    )
    await tx.execute("SELECT pg_notify(current_schema() || '_webhooks', $1)", str(due_in.total_seconds()))


async def add(tx: Tx, message: Message) -> None:
    """Queue `message` if its project has an endpoint; for a disabled one it is parked. Adding it twice is harmless."""
    await lock_subjects(tx, [message.subject])
    delay = await tx.fetchval(
        """INSERT INTO webhook_deliveries (id, tenant, project_id, event_id, type, subject, sequence, body, status,
               next_at, finished_at)
           SELECT $1, $2, $3, $4, $5, $6, $7::bigint, $8,
               CASE WHEN e.disabled_at IS NULL THEN 'pending' ELSE 'parked' END,
               now() + CASE WHEN $7::bigint = 1 OR EXISTS (SELECT FROM webhook_deliveries p
                   WHERE p.project_id = $3 AND p.subject = $6 AND p.sequence = $7::bigint - 1)
               THEN interval '0' ELSE $9::interval END, e.disabled_at
           FROM webhook_endpoints e WHERE e.tenant = $2 AND e.project_id = $3
           ON CONFLICT DO NOTHING RETURNING next_at - now()""",
        message.id,
        message.tenant,
        message.project_id,
        message.event_id,
        message.type,
        message.subject,
        message.sequence,
        message.body,
        REORDER_GRACE,
    )
    if delay is not None:
        await arrange(tx, [message.subject], delay)


async def reopen(tx: Tx, tenant: str, delivery_ids: Sequence[str], subjects: Sequence[str]) -> int:
    """Send finished deliveries again, with a fresh count of attempts; how many. The subjects are locked."""
    done = await tx.execute(
        """UPDATE webhook_deliveries SET status = 'pending', attempts = 0, next_at = now(), finished_at = NULL
           WHERE tenant = $1 AND id = ANY($2::uuid[]) AND status IN ('delivered', 'parked')""",
        tenant,
        list(delivery_ids),
    )
    await arrange(tx, subjects)
    return int(done.split()[-1])


# The projects with an open delivery, found by leaping through the index: all others cost nothing.
WAITING = """
WITH RECURSIVE waiting AS (
    (SELECT project_id FROM webhook_deliveries WHERE status = 'pending' ORDER BY project_id LIMIT 1)
    UNION ALL
    SELECT (SELECT project_id FROM webhook_deliveries d
            WHERE d.status = 'pending' AND d.project_id > waiting.project_id ORDER BY d.project_id LIMIT 1)
    FROM waiting WHERE waiting.project_id IS NOT NULL
)
"""

_CLAIM = f"""{WAITING}, busy AS (
    SELECT project_id, e.tenant, running
    FROM unnest($1::uuid[], $2::int[]) AS of_project (project_id, running) JOIN webhook_endpoints e USING (project_id)
), due AS (
    SELECT d.id, d.next_at, e.project_id, e.tenant, e.url, e.secret,
        CASE WHEN e.previous_until > now() THEN e.previous_secret END AS previous_secret,
        CASE WHEN e.failing_since IS NULL THEN $6::int ELSE $7::int END
            - coalesce((SELECT running FROM busy WHERE busy.project_id = e.project_id), 0) AS free,
        row_number() OVER (PARTITION BY e.project_id ORDER BY d.next_at) AS place
    FROM waiting JOIN webhook_endpoints e USING (project_id) CROSS JOIN LATERAL (
        SELECT id, next_at FROM webhook_deliveries d
        WHERE d.project_id = e.project_id AND d.status = 'pending' AND d.next_at <= now()
        ORDER BY d.next_at LIMIT $6 FOR UPDATE SKIP LOCKED
    ) d
    WHERE e.disabled_at IS NULL
), chosen AS (
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY tenant ORDER BY next_at)
            + coalesce((SELECT sum(running) FROM busy WHERE busy.tenant = due.tenant), 0) AS place_of_tenant
        FROM due WHERE place <= free
    ) AS allowed
    WHERE place_of_tenant <= $8 ORDER BY next_at LIMIT $3
)
UPDATE webhook_deliveries d SET claim = $4, next_at = now() + $5::interval
FROM chosen WHERE d.id = chosen.id
RETURNING d.id, d.tenant, d.project_id, d.subject, d.body, d.attempts, d.claim, chosen.url, chosen.secret,
    chosen.previous_secret
"""  # noqa: S608 - constants only


async def claim(
    db: Database, running: Mapping[str, int], limit: int, lease: timedelta, per_tenant: int
) -> list[Claimed]:
    """Take up to `limit` due deliveries, counting those `running` (project id → number) into the limits.

    At most ten an endpoint, two while it fails, and `per_tenant`.
    """
    rows = await db.fetch(
        _CLAIM,
        list(running),
        list(running.values()),
        limit,
        new_id(),
        lease,
        PER_ENDPOINT,
        PER_FAILING_ENDPOINT,
        per_tenant,
    )
    return [_claimed(values(row)) for row in rows]


def _claimed(row: dict[str, Any]) -> Claimed:
    secrets = [row.pop("secret"), row.pop("previous_secret")]
    return Claimed(**row, sealed_secrets=[secret for secret in secrets if secret])


async def settle(tx: Tx, claimed: Claimed, verdict: Verdict) -> None:
    """Write what became of a claimed delivery; nothing when the lease was lost meanwhile."""
    await lock_subjects(tx, [claimed.subject])
    await tx.execute(
        """UPDATE webhook_deliveries
           SET status = $3::text, attempts = attempts + 1, next_at = now() + $4::interval, claim = NULL,
               finished_at = CASE WHEN $3::text <> 'pending' THEN now() END
           WHERE id = $1 AND claim = $2 AND status IN ('pending', 'waiting')""",
        claimed.id,
        claimed.claim,
        verdict.status,
        verdict.delay,
    )
    await arrange(tx, [claimed.subject])


async def log_attempt(tx: Tx, claimed: Claimed, at: datetime, outcome: Outcome, duration: timedelta) -> None:
    await tx.execute(
        """INSERT INTO webhook_attempts (delivery_id, at, url, http_status, error, duration_ms)
           VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING""",
        claimed.id,
        at,
        claimed.url,
        outcome.http_status,
        outcome.error,
        round(duration.total_seconds() * 1000),
    )


async def note_result(tx: Tx, project_id: str, *, is_success: bool) -> bool:
    """Has this endpoint only failed for five days now?"""
    return bool(
        await tx.fetchval(
            """UPDATE webhook_endpoints SET failing_since = CASE WHEN NOT $2 THEN coalesce(failing_since, now()) END
               WHERE project_id = $1 AND NOT ($2 AND failing_since IS NULL)
               RETURNING failing_since < now() - $3::interval""",
            project_id,
            is_success,
            FAILING_TOO_LONG,
        )
    )


async def disable(tx: Tx, claimed: Claimed, reason: str) -> bool:
    """Stop calling the URL that `claimed` went to and park what is open; False when it was done or changed already."""
    disabled = await tx.fetchval(
        """UPDATE webhook_endpoints SET disabled_at = now(), disabled_reason = $3
           WHERE project_id = $1 AND url = $2 AND disabled_at IS NULL RETURNING true""",
        claimed.project_id,
        claimed.url,
        reason,
    )
    if disabled:
        await tx.execute(
            """UPDATE webhook_deliveries SET status = 'parked', finished_at = now(), claim = NULL
               WHERE project_id = $1 AND status IN ('pending', 'waiting')""",
            claimed.project_id,
        )
    return bool(disabled)


PRUNE = """
DELETE FROM webhook_deliveries WHERE id IN (
    SELECT id FROM webhook_deliveries WHERE finished_at < now() - $1::interval ORDER BY finished_at LIMIT $2
)
"""
