"""What a call cost, line by line."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute("ALTER TABLE calls ADD COLUMN costs jsonb NOT NULL DEFAULT '[]'")
