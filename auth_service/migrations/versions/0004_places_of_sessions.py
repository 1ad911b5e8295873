"""Where sessions began: the address, of IPv6 the /64; known for the sessions before only where it is the address."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("ALTER TABLE sessions ADD COLUMN network text")
    op.execute("UPDATE sessions SET network = ip")
