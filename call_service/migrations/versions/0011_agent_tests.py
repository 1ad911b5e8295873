"""Tests of agents by simulated callers: a run, and the scenarios that workers play for it."""

from alembic import op

revision = "0011"
down_revision = "0010"

# `agent` is the version that is tested, with its settings as of the request.
TESTS = """
CREATE TABLE agent_tests (
    id uuid PRIMARY KEY,
    tenant uuid NOT NULL,
    project_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    agent_version integer NOT NULL,
    agent json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
)
"""
OF_AGENT = "CREATE INDEX agent_tests_of_agent ON agent_tests (tenant, agent_id, id)"
OPEN = "CREATE INDEX agent_tests_open ON agent_tests (tenant, created_at) WHERE finished_at IS NULL"
AGED = "CREATE INDEX agent_tests_aged ON agent_tests (created_at)"
# Nobody is called, so a scenario of a lost worker is played again, a few times; `fence` counts.
SCENARIOS = """
CREATE TABLE agent_test_scenarios (
    test_id uuid NOT NULL REFERENCES agent_tests ON DELETE CASCADE,
    position integer NOT NULL,
    scenario json NOT NULL,
    worker text,
    fence integer NOT NULL DEFAULT 0,
    lease_until timestamptz,
    report json,
    PRIMARY KEY (test_id, position)
)
"""
WAITING = "CREATE INDEX agent_test_scenarios_waiting ON agent_test_scenarios (position, test_id) WHERE report IS NULL"


def upgrade() -> None:
    for statement in (TESTS, OF_AGENT, OPEN, AGED, SCENARIOS, WAITING):
        op.execute(statement)
