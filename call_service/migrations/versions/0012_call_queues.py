"""The queues of calls as a view, which one index leads through.

With two, the planner takes the one by time wherever its statistics are older than the queues, and then reads all of it:
3.5 s for 100 000 calls of 200 trunks, against 20 ms.
"""

from alembic import op

revision = "0012"
down_revision = "0011"

# Jumps from queue to queue by `calls_waiting`: how long one is costs nothing. `created_at` is that of its first call.
QUEUES = """
CREATE VIEW call_queues AS
WITH RECURSIVE heads AS (
    (SELECT tenant, coalesce(trunk_id, '00000000-0000-0000-0000-000000000000'::uuid) AS trunk, created_at
        FROM calls WHERE status = 'queued' AND owner IS NULL
        ORDER BY tenant, coalesce(trunk_id, '00000000-0000-0000-0000-000000000000'::uuid), created_at LIMIT 1)
    UNION ALL
    SELECT following.* FROM heads CROSS JOIN LATERAL (
        SELECT tenant, coalesce(trunk_id, '00000000-0000-0000-0000-000000000000'::uuid) AS trunk, created_at
            FROM calls WHERE status = 'queued' AND owner IS NULL
                AND (tenant, coalesce(trunk_id, '00000000-0000-0000-0000-000000000000'::uuid))
                    > (heads.tenant, heads.trunk)
            ORDER BY tenant, coalesce(trunk_id, '00000000-0000-0000-0000-000000000000'::uuid), created_at LIMIT 1
    ) AS following
)
SELECT tenant, trunk, created_at FROM heads
"""


def upgrade() -> None:
    for statement in (QUEUES, "DROP INDEX calls_due"):
        op.execute(statement)
