"""What operators watch of the webhooks: how many deliveries are due, and for how long."""

from prometheus_client import Gauge

from shared.db import Database
from shared.measuring import MOST_COUNTED

DUE = Gauge("talkstack_webhooks_due", "Deliveries that are due and not under way, 10 000 at most.")
OLDEST = Gauge("talkstack_webhooks_oldest_due_seconds", "How long the first of them has been due.")

_DUE = """
SELECT count(*) AS number, coalesce(extract(epoch FROM now() - min(next_at)), 0) AS seconds
FROM webhook_endpoints e CROSS JOIN LATERAL (
    SELECT next_at FROM webhook_deliveries d
    WHERE d.project_id = e.project_id AND d.status = 'pending' AND d.next_at <= now()
    ORDER BY next_at LIMIT $1
) AS due
WHERE e.disabled_at IS NULL
"""


async def measure(db: Database) -> None:
    """Set the gauges."""
    [due] = await db.fetch(_DUE, MOST_COUNTED)
    DUE.set(due["number"])
    OLDEST.set(due["seconds"])
