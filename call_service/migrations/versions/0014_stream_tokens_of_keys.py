"""The API key that a stream token was made with, so that its stream ends with the key."""

from alembic import op

revision = "0014"
down_revision = "0013"

# The hexadecimal SHA-256, by which a key is known everywhere; nothing for a token made in a session.
KEY = "ALTER TABLE stream_tokens ADD COLUMN key_sha256 text"


def upgrade() -> None:
    op.execute(KEY)
