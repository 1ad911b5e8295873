"""One-shot tokens that open a live stream for a client that can't send headers."""

from alembic import op

revision = "0005"
down_revision = "0004"

# Only the hash is kept. `session_id` is the one that a token was made in, so that it ends with the session.
TOKENS = """
CREATE TABLE stream_tokens (
    hash bytea PRIMARY KEY,
    tenant text NOT NULL,
    credential text NOT NULL,
    session_id text,
    project_id text,
    call_id text,
    expires_at timestamptz NOT NULL
)
"""
BY_AGE = "CREATE INDEX stream_tokens_by_age ON stream_tokens (expires_at)"


def upgrade() -> None:
    op.execute(TOKENS)
    op.execute(BY_AGE)
