"""Answers to requests with an Idempotency-Key."""

from alembic import op

from shared.idempotency import IDEMPOTENCY_TABLE

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(IDEMPOTENCY_TABLE)
