"""Commands to live calls; who or what answered."""

from alembic import op

revision = "0007"
down_revision = "0006"

# In the order of `number`. The worker that holds the call's fence carries each out once and writes what came of it.
COMMANDS = """
CREATE TABLE call_commands (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    call_id uuid NOT NULL REFERENCES calls ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('cancel', 'end', 'say', 'dtmf', 'transfer', 'hold', 'unhold')),
    arguments jsonb NOT NULL,
    state text NOT NULL DEFAULT 'accepted' CHECK (state IN ('accepted', 'done', 'failed')),
    reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
)
"""
OPEN = "CREATE INDEX call_commands_open ON call_commands (call_id) WHERE state = 'accepted'"
BY_CALL = "CREATE INDEX call_commands_by_call ON call_commands (call_id)"
# `calls.control` is not read any more and goes with the next release: the code before this one still writes it.
CONTROLS = """
INSERT INTO call_commands (id, call_id, kind, arguments)
SELECT gen_random_uuid(), id, control, '{}' FROM calls WHERE control IS NOT NULL AND ended_at IS NULL
"""
ANSWERED_BY = """
ALTER TABLE calls ADD COLUMN answered_by text
    CHECK (answered_by IN ('human', 'voicemail', 'screening', 'ivr', 'unknown'))
"""


def upgrade() -> None:
    for statement in (COMMANDS, OPEN, BY_CALL, CONTROLS, ANSWERED_BY):
        op.execute(statement)
