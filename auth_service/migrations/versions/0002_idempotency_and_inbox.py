"""Answers to requests with an Idempotency-Key, and the inbox of events from other services."""

from alembic import op

from shared.idempotency import IDEMPOTENCY_TABLE
from shared.inbox import INBOX_TABLE

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(IDEMPOTENCY_TABLE)
    op.execute(INBOX_TABLE)
