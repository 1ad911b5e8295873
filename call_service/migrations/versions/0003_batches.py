"""Batches with their contacts, the evidence of every decision, and numbers that must not be called."""

from alembic import op

revision = "0003"
down_revision = "0002"

BATCHES = """
CREATE TABLE batches (
    id uuid PRIMARY KEY,
    tenant uuid NOT NULL,
    project_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    agent_version integer NOT NULL,
    agent jsonb NOT NULL,
    from_number text NOT NULL,
    file_name text NOT NULL,
    status text NOT NULL CHECK (status IN ('scheduled', 'running', 'paused', 'completed', 'canceled')),
    status_reason text,
    total integer NOT NULL,
    accepted integer NOT NULL,
    finished integer NOT NULL DEFAULT 0,
    active integer NOT NULL DEFAULT 0 CHECK (active >= 0),
    spent numeric(14, 6) NOT NULL DEFAULT 0,
    schedule_at timestamptz NOT NULL DEFAULT now(),
    calling_window jsonb,
    retry jsonb NOT NULL,
    max_concurrency integer,
    calls_per_second double precision,
    attempts_per_day integer,
    budget numeric(14, 6),
    next_dial_at timestamptz NOT NULL DEFAULT 'epoch',
    served_at timestamptz NOT NULL DEFAULT 'epoch',
    progress_at timestamptz NOT NULL DEFAULT 'epoch',
    blocked_until timestamptz NOT NULL DEFAULT 'epoch',
    recent text NOT NULL DEFAULT '',
    trips integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz
)
"""
# A lane is the contacts of a batch that may be called in the same hours: those of one set of time zones.
LANES = """
CREATE TABLE batch_lanes (
    batch_id uuid NOT NULL REFERENCES batches ON DELETE CASCADE,
    lane text NOT NULL,
    opens_at timestamptz NOT NULL,
    closes_at timestamptz NOT NULL,
    PRIMARY KEY (batch_id, lane)
)
"""
# Without foreign keys: a key's trigger for each of a million copied rows would be queued in memory until the commit.
CONTACTS = """
CREATE TABLE batch_contacts (
    batch_id uuid NOT NULL,
    line integer NOT NULL,
    tenant uuid NOT NULL,
    number text NOT NULL,
    lane text NOT NULL,
    variables jsonb NOT NULL,
    state text NOT NULL CHECK (state IN (
        'rejected', 'pending', 'dialing',
        'completed', 'busy', 'no-answer', 'failed', 'canceled', 'voicemail', 'silence')),
    reason text,
    due_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    call_id uuid,
    ended_at timestamptz,
    PRIMARY KEY (batch_id, line)
)
"""
DECISIONS = """
CREATE TABLE batch_decisions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id uuid NOT NULL,
    line integer,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    decision text NOT NULL,
    reason text NOT NULL,
    detail jsonb NOT NULL
)
"""
DO_NOT_CALL = """
CREATE TABLE do_not_call (
    tenant uuid NOT NULL,
    number text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, number)
)
"""
CALLS = "ALTER TABLE calls ADD COLUMN batch_id uuid, ADD COLUMN batch_line integer"
INDEXES = (
    "CREATE INDEX batches_open ON batches (served_at) WHERE status IN ('scheduled', 'running')",
    "CREATE INDEX batches_active ON batches (tenant) WHERE active > 0",
    "CREATE INDEX batches_list ON batches (tenant, id DESC)",
    "CREATE INDEX batch_contacts_due ON batch_contacts (batch_id, lane, due_at, line) WHERE state = 'pending'",
    "CREATE INDEX batch_decisions_of ON batch_decisions (batch_id, line, id)",
    "CREATE INDEX calls_by_callee ON calls (tenant, to_number, created_at DESC)",
)


def upgrade() -> None:
    for statement in (BATCHES, LANES, CONTACTS, DECISIONS, DO_NOT_CALL, CALLS, *INDEXES):
        op.execute(statement)
