"""What operators watch of the calls: how they end, how many wait, and are live in all workers together."""

from prometheus_client import Counter, Gauge

from shared.db import Database
from shared.measuring import MOST_COUNTED

ENDED = Counter("talkstack_calls_ended", "Calls that have ended.", ["status", "reason", "fault", "direction"])
LOST = Counter("talkstack_calls_lost", "Calls that ended because their worker no longer renewed its lease.")
QUEUED = Gauge("talkstack_calls_queued", "Calls that wait for a worker, 10 000 at most.")
OLDEST = Gauge("talkstack_calls_oldest_queued_seconds", "How long the first of them has waited.")
LIVE = Gauge("talkstack_calls_live", "Calls that workers hold, by status.", ["status"])
UNNUMBERED = Gauge("talkstack_feed_unnumbered", "Events that no live stream has got yet, 10 000 at most.")

_QUEUED = """
SELECT
    (SELECT count(*) FROM (SELECT FROM calls WHERE status = 'queued' AND owner IS NULL LIMIT $1) AS waiting) AS number,
    coalesce(extract(epoch FROM now() - min(created_at)), 0) AS seconds FROM call_queues
"""
_LIVE = """
SELECT states.status, count(calls.id) AS number
FROM unnest(ARRAY['initiated', 'ringing', 'in-progress']) AS states (status)
LEFT JOIN calls ON calls.status = states.status AND owner IS NOT NULL AND completed_at IS NULL GROUP BY states.status
"""
_UNNUMBERED = "SELECT count(*) FROM (SELECT FROM feed WHERE number IS NULL LIMIT $1) AS waiting"


async def measure(db: Database) -> None:
    """Set the gauges."""
    [queued] = await db.fetch(_QUEUED, MOST_COUNTED)
    QUEUED.set(queued["number"])
    OLDEST.set(queued["seconds"])
    for row in await db.fetch(_LIVE):
        LIVE.labels(row["status"]).set(row["number"])
    UNNUMBERED.set(await db.fetchval(_UNNUMBERED, MOST_COUNTED))
