"""The place of a call's second leg at its trunk; calls that a trunk's owner did not get; `calls.control` goes."""

from alembic import op

revision = "0013"
down_revision = "0012"

# Counted with its call, so that whoever ends the call gives this place back too.
SECOND_LEGS = "ALTER TABLE calls ADD COLUMN has_second_leg boolean NOT NULL DEFAULT false"
# No foreign key to the call: most of these never became one.
REFUSALS = """
CREATE TABLE trunk_refusals (
    id uuid PRIMARY KEY,
    trunk_id uuid NOT NULL REFERENCES trunks ON DELETE CASCADE,
    call_id uuid,
    from_number text NOT NULL,
    to_number text NOT NULL,
    sip_code integer NOT NULL,
    reason text NOT NULL,
    messages json NOT NULL,
    refused_at timestamptz NOT NULL
)
"""
INDEXES = (
    "CREATE INDEX trunk_refusals_newest ON trunk_refusals (trunk_id, refused_at DESC)",
    "CREATE INDEX trunk_refusals_aged ON trunk_refusals (refused_at)",
)
# Neither read nor written since 0007.
CONTROL = "ALTER TABLE calls DROP COLUMN control"


def upgrade() -> None:
    for statement in (SECOND_LEGS, REFUSALS, *INDEXES, CONTROL):
        op.execute(statement)
