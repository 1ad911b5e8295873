"""Every query about tests of agents. Those of users filter by tenant; those of workers see all."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson

from call_service.scenarios.domain import EXPIRES_AFTER, MAX_TRIES, AgentTest, Part, Taken
from call_service.scenarios.report import ScenarioReport
from call_service.scenarios.stored import read_report, read_scenario, stand_in
from shared.db import Database, Record, Tx
from shared.ids import is_id

CHANNEL = "calls_agent_tests"

_INSERT = """
INSERT INTO agent_tests (id, tenant, project_id, agent_id, agent_version, agent) VALUES ($1, $2, $3, $4, $5, $6)
"""
_INSERT_SCENARIOS = """
INSERT INTO agent_test_scenarios (test_id, position, scenario)
SELECT $1, position, scenario FROM unnest($2::json[]) WITH ORDINALITY AS new (scenario, position)
"""
# Of a scenario no more than is shown: all of it can be a megabyte a test.
_PARTS = """
SELECT json_build_object('name', scenario->'name', 'category', scenario->'category', 'line', scenario->'line') AS names,
    worker, report
FROM agent_test_scenarios WHERE test_id = $1 ORDER BY position
"""
# By position before age: the tests of all users advance side by side, however many scenarios one of them has.
_TAKE = """
UPDATE agent_test_scenarios AS taken SET worker = $1, fence = fence + 1, lease_until = now() + $2::interval
FROM agent_tests WHERE id = test_id AND (test_id, position) IN (
    SELECT test_id, position FROM agent_test_scenarios JOIN agent_tests ON id = test_id
    WHERE report IS NULL AND (lease_until IS NULL OR lease_until < now()) AND fence <= $3
        AND created_at > now() - $4::interval
    ORDER BY position, test_id LIMIT $5 FOR UPDATE OF agent_test_scenarios SKIP LOCKED)
RETURNING test_id, position, fence, scenario, tenant, project_id, agent
"""
_FINISH = """
UPDATE agent_test_scenarios SET report = $4 WHERE test_id = $1 AND position = $2 AND fence = $3 AND report IS NULL
RETURNING true
"""
PRUNE = """
DELETE FROM agent_tests WHERE id IN (
    SELECT id FROM agent_tests WHERE created_at < now() - $1::interval ORDER BY created_at LIMIT $2)
"""


async def count_open(tx: Tx, tenant: str) -> int:
    """How many tests of this tenant wait or run; nobody adds one until this transaction ends."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('agent_tests:' || $1, 0))", tenant)
    found = await tx.fetchval(
        """SELECT count(*) FROM agent_tests
            WHERE tenant = $1 AND finished_at IS NULL AND created_at > now() - $2::interval""",
        tenant,
        EXPIRES_AFTER,
    )
    return int(found)


async def insert(
    tx: Tx, test_id: str, *, tenant: str, project_id: str, agent: dict[str, Any], scenarios: Sequence[bytes]
) -> None:
    """A test that waits for workers, who hear of it once this transaction has committed; `scenarios` are JSON."""
    await tx.execute(_INSERT, test_id, tenant, project_id, agent["id"], agent["version"], agent)
    await tx.execute(_INSERT_SCENARIOS, test_id, [orjson.Fragment(scenario) for scenario in scenarios])
    await tx.execute("SELECT pg_notify($1, '')", CHANNEL)


async def find(connection: Tx | Database, tenant: str, agent_id: str, test_id: str) -> AgentTest | None:
    """A test of this tenant's agent."""
    if not (is_id(agent_id) and is_id(test_id)):
        return None
    row = await connection.fetchrow(
        """SELECT *, clock_timestamp() - created_at AS age FROM agent_tests
            WHERE tenant = $1 AND agent_id = $2 AND id = $3""",
        tenant,
        agent_id,
        test_id,
    )
    return await _with_parts(connection, row) if row else None


async def _with_parts(connection: Tx | Database, row: Record) -> AgentTest:
    parts = await connection.fetch(_PARTS, row["id"])
    return AgentTest(
        id=str(row["id"]),
        tenant=str(row["tenant"]),
        project_id=str(row["project_id"]),
        agent_id=str(row["agent_id"]),
        agent_version=row["agent_version"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
        age=row["age"],
        parts=tuple(_part(part) for part in parts),
    )


def _part(row: Record) -> Part:
    scenario = stand_in(row["names"])
    return Part(scenario, row["worker"], read_report(row["report"], scenario) if row["report"] else None)


async def page(db: Database, tenant: str, agent_id: str, before_id: str | None, limit: int) -> list[AgentTest]:
    """Tests of this tenant's agent, newest first; `before_id` is the last id of the page before."""
    if not is_id(agent_id):
        return []
    rows = await db.fetch(
        """SELECT *, clock_timestamp() - created_at AS age FROM agent_tests
            WHERE tenant = $1 AND agent_id = $2 AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4""",
        tenant,
        agent_id,
        before_id,
        limit,
    )
    return [await _with_parts(db, row) for row in rows]


# ---- of workers ----------------------------------------------------------------------------------------------------


async def take(db: Database, worker: str, lease: timedelta, limit: int) -> list[Taken]:
    """Scenarios that this worker plays from now on, and nobody else while it renews its lease."""
    rows = await db.fetch(_TAKE, worker, lease, MAX_TRIES, EXPIRES_AFTER, limit)
    return [_taken(row) for row in rows]


def _taken(row: Record) -> Taken:
    scenario, may_be_played = read_scenario(row["scenario"])
    return Taken(
        test_id=str(row["test_id"]),
        position=row["position"],
        fence=row["fence"],
        scenario=scenario,
        may_be_played=may_be_played,
        tenant=str(row["tenant"]),
        project_id=str(row["project_id"]),
        agent=row["agent"],
    )


async def renew(db: Database, lease: timedelta, playing: Sequence[Taken]) -> None:
    """These scenarios are still played by whoever has taken them."""
    await db.execute(
        """UPDATE agent_test_scenarios AS held SET lease_until = now() + $1::interval
            FROM unnest($2::uuid[], $3::integer[], $4::integer[]) AS playing (test_id, position, fence)
            WHERE (held.test_id, held.position, held.fence) = (playing.test_id, playing.position, playing.fence)
                AND report IS NULL""",
        lease,
        [one.test_id for one in playing],
        [one.position for one in playing],
        [one.fence for one in playing],
    )


async def give_back(db: Database, worker: str) -> None:
    """Another worker may play at once what this one has not finished."""
    await db.execute(
        """UPDATE agent_test_scenarios SET worker = NULL, lease_until = NULL, fence = fence - 1
            WHERE worker = $1 AND report IS NULL""",
        worker,
    )
    await db.execute("SELECT pg_notify($1, '')", CHANNEL)


async def finish(tx: Tx, taken: Taken, report: ScenarioReport) -> AgentTest | None:
    """Keep a report, unless another worker has taken the scenario. Returns the test if this was its last one."""
    is_kept = await tx.fetchval(_FINISH, taken.test_id, taken.position, taken.fence, report.model_dump(mode="json"))
    if not is_kept:
        return None
    # Whoever else finishes one waits here, and then sees this one.
    await tx.execute("SELECT FROM agent_tests WHERE id = $1 FOR UPDATE", taken.test_id)
    row = await tx.fetchrow(
        """UPDATE agent_tests SET finished_at = now() WHERE id = $1 AND finished_at IS NULL
            AND NOT EXISTS (SELECT FROM agent_test_scenarios WHERE test_id = $1 AND report IS NULL)
            RETURNING *, clock_timestamp() - created_at AS age""",
        taken.test_id,
    )
    return await _with_parts(tx, row) if row else None
