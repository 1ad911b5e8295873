"""Which scenarios the versions of agents have passed."""

from alembic import op

revision = "0004"
down_revision = "0003"

RESULTS = """
CREATE TABLE agent_test_results (
    tenant uuid NOT NULL,
    agent_id uuid NOT NULL,
    version integer NOT NULL,
    scenario text NOT NULL,
    has_passed boolean NOT NULL,
    tested_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, agent_id, version, scenario)
)
"""


def upgrade() -> None:
    op.execute(RESULTS)
