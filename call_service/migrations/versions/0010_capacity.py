"""When calls of a tenant and of a trunk may begin next, and whom to ask before a contact is called."""

from alembic import op

revision = "0010"
down_revision = "0009"

# `id` is a tenant's or a trunk's. `booked` are the starts that a later one has to keep its distance from, in order;
# a row whose starts are over says nothing, and may be deleted.
PACES = """
CREATE TABLE dial_paces (
    id uuid PRIMARY KEY,
    booked timestamptz[] NOT NULL DEFAULT '{}',
    next_at timestamptz NOT NULL DEFAULT 'epoch'
)
"""
INDEXES = (
    # What counts against the limits; the end of a call takes it out.
    "CREATE INDEX calls_held ON calls (tenant, trunk_id) WHERE owner IS NOT NULL AND ended_at IS NULL",
    # The queues of all tenants and trunks, each in its order; a call without a trunk is in that of the zero id.
    """CREATE INDEX calls_waiting
        ON calls (tenant, coalesce(trunk_id, '00000000-0000-0000-0000-000000000000'::uuid), created_at)
        WHERE status = 'queued' AND owner IS NULL""",
)
PRE_DIAL = (
    "ALTER TABLE batches ADD COLUMN pre_dial_url text, ADD COLUMN pre_dial_secret text",
    "ALTER TABLE batch_contacts ADD COLUMN pre_dial_failures integer NOT NULL DEFAULT 0",
)


def upgrade() -> None:
    for statement in (PACES, *INDEXES, *PRE_DIAL):
        op.execute(statement)
