"""The sweeper looks for unfinished batches of deleted projects every few seconds, and reads no others for it."""

from alembic import op

revision = "0015"
down_revision = "0014"

INDEX = "CREATE INDEX batches_unfinished ON batches (project_id) WHERE status NOT IN ('completed', 'canceled')"


def upgrade() -> None:
    op.execute(INDEX)
