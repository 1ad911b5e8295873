"""Queries about endpoints (one a project) and the delivery log, by tenant. The queue's own are in `queue.py`."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from project_service.fields import values
from project_service.webhooks.schemas import Attempt, Delivery, DeliveryQuery, ReplayQuery
from shared.db import Database, Tx
from shared.ids import is_id


@dataclass(frozen=True, slots=True)
class Registered:
    """An endpoint after registration: its sealed secret, and whether somebody was shown it before."""

    secret: str
    was_shown: bool


async def register(tx: Tx, tenant: str, project_id: str, url: str, sealed: str, *, shows: bool) -> Registered:
    """Set the project's URL; `sealed` becomes the secret if there is none yet. A disabled endpoint is enabled again.

    `shows`: the caller is given the secret if nobody was before.
    """
    row = await tx.fetchrow(
        """WITH known AS (SELECT secret_shown FROM webhook_endpoints WHERE project_id = $2)
           INSERT INTO webhook_endpoints AS e (tenant, project_id, url, secret, secret_shown)
           VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (project_id) DO UPDATE SET url = $3, secret_shown = e.secret_shown OR $5, updated_at = now(),
               failing_since = NULL, disabled_at = NULL, disabled_reason = NULL
           RETURNING secret, coalesce((SELECT secret_shown FROM known), false) AS was_shown""",
        tenant,
        project_id,
        url,
        sealed,
        shows,
    )
    assert row is not None
    return Registered(row["secret"], row["was_shown"])


async def rotate(tx: Tx, tenant: str, project_id: str, sealed: str, overlap: timedelta) -> datetime:
    """Put a new secret in place of an endpoint's; returns until when the one before signs beside it."""
    until: datetime = await tx.fetchval(
        """UPDATE webhook_endpoints SET previous_secret = secret, previous_until = now() + $4, secret = $3,
               secret_shown = true, updated_at = now()
           WHERE tenant = $1 AND project_id = $2 RETURNING previous_until""",
        tenant,
        project_id,
        sealed,
        overlap,
    )
    return until


async def has_endpoint(tx: Tx, tenant: str, project_id: str) -> bool:
    """Has this live project a URL?"""
    if not is_id(project_id):
        return False
    query = "SELECT call_status_webhook IS NOT NULL FROM live_projects WHERE tenant = $1 AND id = $2"
    return bool(await tx.fetchval(query, tenant, project_id))


async def deliveries(db: Database, tenant: str, query: DeliveryQuery, before_id: str | None) -> list[Delivery]:
    """A page of the log, newest first, each with its attempts."""
    if query.project_id is not None and not is_id(query.project_id):
        return []
    rows = await db.fetch(
        """SELECT id, project_id, type, subject, status, attempts, created_at, finished_at,
               CASE WHEN status = 'pending' THEN next_at END AS next_attempt_at
           FROM webhook_deliveries
           WHERE tenant = $1 AND ($2::uuid IS NULL OR project_id = $2) AND ($3::text IS NULL OR status = $3)
               AND ($4::uuid IS NULL OR id < $4)
           ORDER BY id DESC LIMIT $5""",
        tenant,
        query.project_id,
        query.status,
        before_id,
        query.limit_and_one,
    )
    attempts = await _attempts(db, tenant, [row["id"] for row in rows])
    return [Delivery(**values(row), log=attempts[row["id"]]) for row in rows]


async def _attempts(db: Database, tenant: str, delivery_ids: list[Any]) -> dict[Any, list[Attempt]]:
    found: dict[Any, list[Attempt]] = defaultdict(list)
    rows = await db.fetch(
        """SELECT a.delivery_id, a.at, a.url, a.http_status, a.error, a.duration_ms
           FROM webhook_attempts a JOIN webhook_deliveries d ON d.id = a.delivery_id
           WHERE d.tenant = $1 AND d.id = ANY($2) ORDER BY a.at""",
        tenant,
        delivery_ids,
    )
    for row in rows:
        found[row["delivery_id"]].append(Attempt.model_validate(values(row)))
    return found


async def subject_of(tx: Tx, tenant: str, delivery_id: str) -> str | None:
    """What a delivery of this tenant is about, None when there is no such delivery."""
    if not is_id(delivery_id):
        return None
    query = "SELECT subject FROM webhook_deliveries WHERE tenant = $1 AND id = $2"
    subject: str | None = await tx.fetchval(query, tenant, delivery_id)
    return subject


async def finished_since(
    tx: Tx, tenant: str, query: ReplayQuery, after_id: str | None, limit: int
) -> list[tuple[str, str]]:
    """Ids and subjects of finished deliveries in the range, oldest first."""
    rows = await tx.fetch(
        """SELECT id, subject FROM webhook_deliveries
           WHERE tenant = $1 AND created_at >= $2 AND ($3::timestamptz IS NULL OR created_at < $3)
               AND ($4::uuid IS NULL OR project_id = $4) AND status = ANY($5) AND ($6::uuid IS NULL OR id > $6)
           ORDER BY id LIMIT $7""",
        tenant,
        query.since,
        query.until,
        query.project_id,
        [query.status] if query.status else ["delivered", "parked"],
        after_id,
        limit,
    )
    return [(str(row["id"]), row["subject"]) for row in rows]
