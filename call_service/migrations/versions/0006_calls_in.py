"""The SIP messages of calls; calls that came in while their number had no agent."""

from alembic import op

revision = "0006"
down_revision = "0005"

SIP = """
CREATE TABLE call_sip (
    call_id uuid PRIMARY KEY REFERENCES calls ON DELETE CASCADE,
    messages jsonb NOT NULL
)
"""
NO_AGENT = "ALTER TABLE calls ALTER COLUMN agent_id DROP NOT NULL"


def upgrade() -> None:
    op.execute(SIP)
    op.execute(NO_AGENT)
