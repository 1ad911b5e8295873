"""What operators watch of the webhooks: how many deliveries are due, and for how long."""

from datetime import timedelta

from prometheus_client import Gauge

from project_service.webhooks.queue import WAITING
from shared.db import Database
from shared.measuring import MOST_COUNTED

DUE = Gauge("talkstack_webhooks_due", "Deliveries that are due and not under way, 10 000 at most.")
OLDEST = Gauge(
    "talkstack_webhooks_oldest_due_seconds",
    "How long the first has been due of a customer of whom none is under way.",
)

# A customer's endpoints that are slow or dead hold up only her own: as long as she is served, what else of hers is due
# waits for them. A delivery under way is due again when its lease is over, and no later.
_DUE = f"""{WAITING}, open AS (
    SELECT e.project_id, e.tenant FROM waiting JOIN webhook_endpoints e USING (project_id) WHERE e.disabled_at IS NULL
), due AS (
    SELECT open.*, d.first FROM open CROSS JOIN LATERAL (
        SELECT min(next_at) AS first FROM webhook_deliveries d
        WHERE d.project_id = open.project_id AND d.status = 'pending' AND d.next_at <= now()
    ) AS d
    WHERE d.first IS NOT NULL
), counted AS (
    SELECT FROM due CROSS JOIN LATERAL (
        SELECT FROM webhook_deliveries d
        WHERE d.project_id = due.project_id AND d.status = 'pending' AND d.next_at <= now() LIMIT $1
    ) AS d
    LIMIT $1
), served AS (
    SELECT open.tenant FROM open CROSS JOIN LATERAL (
        SELECT FROM webhook_deliveries d
        WHERE d.project_id = open.project_id AND d.status = 'pending' AND d.claim IS NOT NULL
            AND d.next_at > now() AND d.next_at <= now() + $2::interval LIMIT 1
    ) AS under_way
)
SELECT (SELECT count(*) FROM counted) AS number, coalesce(extract(epoch FROM now() - min(first) FILTER (
    WHERE tenant NOT IN (SELECT tenant FROM served))), 0) AS seconds
FROM due
"""  # noqa: S608 - constants only


async def measure(db: Database, lease: timedelta) -> None:
    """Set the gauges; a delivery that is under way is leased for `lease`."""
    [due] = await db.fetch(_DUE, MOST_COUNTED, lease)
    DUE.set(due["number"])
    OLDEST.set(due["seconds"])
