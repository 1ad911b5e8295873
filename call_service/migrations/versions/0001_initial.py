"""Calls, their turns, outbox and inbox."""

from alembic import op

from shared.inbox import INBOX_TABLE
from shared.outbox import OUTBOX_TABLES

revision = "0001"
down_revision = None

CALLS = """
CREATE TABLE calls (
    id uuid PRIMARY KEY,
    tenant uuid NOT NULL,
    project_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    agent_version integer NOT NULL,
    agent jsonb NOT NULL,
    direction text NOT NULL CHECK (direction IN ('outbound', 'inbound')),
    from_number text NOT NULL,
    to_number text NOT NULL,
    status text NOT NULL CHECK (status IN (
        'queued', 'initiated', 'ringing', 'in-progress',
        'completed', 'busy', 'no-answer', 'failed', 'canceled', 'voicemail', 'silence')),
    reason text,
    fault text NOT NULL DEFAULT 'none',
    sip_code integer,
    dynamic_variables jsonb NOT NULL DEFAULT '{}',
    data jsonb NOT NULL DEFAULT '{}',
    analysis jsonb,
    recording text,
    cost numeric(12, 6) NOT NULL DEFAULT 0,
    currency text NOT NULL DEFAULT 'USD',
    carrier text,
    created_at timestamptz NOT NULL DEFAULT now(),
    initiated_at timestamptz,
    answered_at timestamptz,
    ended_at timestamptz,
    completed_at timestamptz,
    owner text,
    fence bigint NOT NULL DEFAULT 0,
    lease_until timestamptz
)
"""
TURNS = """
CREATE TABLE call_turns (
    call_id uuid NOT NULL REFERENCES calls ON DELETE CASCADE,
    position integer NOT NULL,
    role text NOT NULL CHECK (role IN ('agent', 'user')),
    text text NOT NULL,
    start_ms integer NOT NULL,
    end_ms integer NOT NULL,
    interrupted boolean NOT NULL,
    timings jsonb NOT NULL,
    PRIMARY KEY (call_id, position)
)
"""
INDEXES = (
    "CREATE INDEX calls_due ON calls (created_at) WHERE status = 'queued' AND owner IS NULL",
    "CREATE INDEX calls_leased ON calls (lease_until) WHERE owner IS NOT NULL AND completed_at IS NULL",
    "CREATE INDEX calls_history ON calls (tenant, project_id, id DESC)",
)


def upgrade() -> None:
    for statement in (CALLS, TURNS, *INDEXES, OUTBOX_TABLES, INBOX_TABLE):
        op.execute(statement)
