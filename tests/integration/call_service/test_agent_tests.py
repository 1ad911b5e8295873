"""Tests of agents over the API, played by workers: real sessions on null engines, and what becomes of lost workers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from call_service.kept import Kept
from call_service.scenarios import repository
from call_service.scenarios.domain import MAX_OPEN, MAX_TRIES
from call_service.scenarios.judging import Observation, judge
from call_service.scenarios.player import Play, ScenarioPlayer
from call_service.scenarios.rehearsal import play
from call_service.scenarios.report import ScenarioReport
from call_service.scenarios.scenario import Scenario
from call_service.scenarios.stage import Cast, open_stage
from call_service.vendors.equipment import Vendors
from call_service.vendors.models import Sessions
from call_service.voice.brain import build_brain
from call_service.voice.engines.bundle import load_engines
from shared.background import running
from shared.db import Database, DatabaseUnavailableError
from shared.ids import new_id
from shared.testing.waiting import eventually
from tests.support.calls import Customer, FakeProjects
from tests.support.workers import no_keys

LEASE = timedelta(seconds=30)
TALKS = {
    "name": "talks",
    "callee": {
        "description": "Says hello, listens once and leaves.",
        "turns": [
            {"say": "Hello?"},
            {"wait_for": "", "say": "Thank you, goodbye.", "silence_ms": 600, "hang_up": True},
        ],
    },
    "expect": {"says": ["Bright Dental"], "status": "completed", "reason": "callee_hung_up"},
}
BUSY = {
    "name": "busy",
    "category": "endings",
    "callee": {"description": "Is busy.", "outcome": "busy"},
    "expect": {"status": "busy", "reason": "callee_busy"},
}


class Places:
    """So many places; the least that were free is remembered."""

    def __init__(self, free: int = 8) -> None:
        self.free = self.least = free

    async def reserve_between_claims(self) -> bool:
        is_free = self.free > 0
        self.free -= is_free
        self.least = min(self.least, self.free)
        return is_free

    def unreserve(self) -> None:
        self.free += 1


@asynccontextmanager
async def real_play() -> AsyncIterator[Play]:
    """Real sessions, with engines that cost nothing."""
    sessions = Sessions(allow_private=True)
    vendors = Vendors(Kept(no_keys), sessions, {})
    async with open_stage(await load_engines("null"), build_brain(None), vendors) as stage:
        yield lambda scenario, cast: play(scenario, cast, stage)
    await sessions.close()


async def passes(scenario: Scenario, _cast: Cast) -> ScenarioReport:
    return judge(scenario, Observation(scenario.expect.status or "completed", scenario.expect.reason or "x"))


def playing(db: Database, play: Play, places: Places, *, at_once: int = 4) -> AbstractAsyncContextManager[Any]:
    player = ScenarioPlayer(db, play, places, owner=f"worker {new_id()}", at_once=at_once)
    return running(player.run(), "player")


async def start(customer: Customer, projects: FakeProjects, *scenarios: Any, **more: Any) -> tuple[int, Any]:
    body = {"projectId": projects.project_id, "scenarios": scenarios, **more}
    return await customer.ask("POST", f"/agent/{projects.agent['id']}/test", body)


async def started(customer: Customer, projects: FakeProjects, *scenarios: Any, **more: Any) -> str:
    status, test = await start(customer, projects, *scenarios, **more)
    assert status == 202, test
    return f"/agent/{projects.agent['id']}/test/{test['id']}"


async def finished(customer: Customer, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def is_finished() -> bool:
        status, test = await customer.ask("GET", path)
        assert status == 200
        found.update(test)
        return test["finished_at"] is not None

    await eventually(is_finished, 40)
    return found


async def tested_events(db: Database) -> list[dict[str, Any]]:
    return [
        row["data"] for row in await db.fetch("SELECT data FROM outbox WHERE type = 'agent.tested' ORDER BY position")
    ]


async def test_real_sessions_are_played_and_reported(customer: Customer, projects: FakeProjects, db: Database) -> None:
    path = await started(customer, projects, TALKS, BUSY)
    assert (await customer.ask("GET", path))[1]["status"] == "waiting"
    async with real_play() as play, playing(db, play, Places()):
        test = await finished(customer, path)
    assert [(one["name"], one["category"], one["status"]) for one in test["scenarios"]] == [
        ("talks", "general", "passed"),
        ("busy", "endings", "passed"),
    ], test
    assert (test["status"], test["agentVersion"], test["agentId"]) == ("passed", 3, projects.agent["id"])
    assert (test["summary"]["total"], test["summary"]["passed"]) == (2, 2)
    talk = test["scenarios"][0]["report"]
    assert talk["transcript"][0]["role"] in {"agent", "user"}
    assert [line["text"] for line in talk["transcript"] if line["role"] == "user"]
    assert talk["said"] == ["Hello?", "Thank you, goodbye."]
    assert [check["rule"] for check in talk["checks"]] == ["says", "status", "reason"]


async def test_nobody_is_called_nothing_is_charged_and_one_event_tells(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    bad = {**BUSY, "name": "not busy", "expect": {"status": "completed"}}
    path = await started(customer, projects, BUSY, bad)
    async with real_play() as play, playing(db, play, Places()):
        test = await finished(customer, path)
    assert test["status"] == "failed"
    assert await db.fetchval("SELECT count(*) FROM calls") == 0
    (event,) = await tested_events(db)
    assert (event["agentId"], event["version"], event["passed"]) == (projects.agent["id"], 3, False)
    assert event["scenarios"] == [
        {"name": "busy", "line": "clean", "passed": True},
        {"name": "not busy", "line": "clean", "passed": False},
    ]


async def test_each_line_is_played(customer: Customer, projects: FakeProjects, db: Database) -> None:
    path = await started(customer, projects, BUSY, lines=[{}, {"noise_db": 20}, {"packet_loss_percent": 1}])
    async with playing(db, passes, Places()):
        test = await finished(customer, path)
    assert [one["line"] for one in test["scenarios"]] == ["clean", "20 dB", "1 % loss"]


@pytest.mark.parametrize(
    ("scenario", "field"),
    [
        ({**BUSY, "expect": {}}, "scenarios.0.expect"),
        ({**BUSY, "callee": {"description": "x", "turns": [{"wait_for": "("}]}}, "scenarios.0.callee.turns.0.wait_for"),
        ({**BUSY, "speed": 3}, "scenarios.0.speed"),
    ],
)
async def test_what_can_not_be_played_is_refused_by_name(
    customer: Customer, projects: FakeProjects, scenario: dict[str, Any], field: str
) -> None:
    status, answer = await start(customer, projects, scenario)
    assert (status, answer["errors"][0]["field"]) == (422, field)


async def test_the_agent_has_to_be_the_users(
    customer: Customer, stranger: Customer, projects: FakeProjects, db: Database
) -> None:
    path = await started(customer, projects, BUSY)
    assert (await start(stranger, projects, BUSY))[1]["code"] == "project_not_found"
    assert (await stranger.ask("GET", path))[1]["code"] == "agent_test_not_found"
    body = {"projectId": projects.project_id, "scenarios": [BUSY]}
    assert (await customer.ask("POST", f"/agent/{new_id()}/test", body))[1]["code"] == "agent_not_found"
    assert (await customer.ask("GET", path.replace(projects.agent["id"], new_id())))[0] == 404
    assert (await customer.ask("GET", f"/agent/{projects.agent['id']}/test/x"))[0] == 404
    assert await db.fetchval("SELECT count(*) FROM agent_tests") == 1


async def test_tests_are_listed_newest_first_and_only_of_the_agent(
    customer: Customer, stranger: Customer, projects: FakeProjects
) -> None:
    made = [(await started(customer, projects, BUSY)).rsplit("/", 1)[1] for _ in range(3)]
    path, seen = f"/agent/{projects.agent['id']}/test", list[str]()
    query = "limit=2"
    while True:
        status, page = await customer.ask("GET", f"{path}?{query}")
        assert status == 200
        seen += [test["id"] for test in page["data"]]
        assert {test["status"] for test in page["data"]} == {"waiting"}
        if page["next_cursor"] is None:
            break
        query = f"limit=2&cursor={page['next_cursor']}"
    assert seen == made[::-1]
    assert (await stranger.ask("GET", path))[1]["code"] == "agent_tests_not_found"
    assert (await customer.ask("GET", f"/agent/{new_id()}/test"))[1]["code"] == "agent_tests_not_found"
    assert (await customer.ask("GET", "/agent/x/test"))[0] == 404
    assert (await customer.ask("GET", f"{path}?cursor=x"))[0] in {400, 422}


async def test_only_so_many_tests_are_open(customer: Customer, projects: FakeProjects) -> None:
    for _ in range(MAX_OPEN):
        await started(customer, projects, BUSY)
    status, answer = await start(customer, projects, BUSY)
    assert (status, answer["code"]) == (409, "too_many_tests")


async def test_workers_share_a_test_and_play_each_scenario_once(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    played: list[str] = []
    both = asyncio.Barrier(2)

    def at(worker: str) -> Play:
        async def play(scenario: Scenario, cast: Cast) -> ScenarioReport:
            played.append(f"{worker} {scenario.name}")
            if scenario.name in {"0", "1"}:
                await both.wait()  # both workers have one
            return await passes(scenario, cast)

        return play

    path = await started(customer, projects, *({**BUSY, "name": str(number)} for number in range(6)))
    async with playing(db, at("a"), Places(), at_once=1), playing(db, at("b"), Places(), at_once=1):
        assert (await finished(customer, path))["summary"]["passed"] == 6
    assert sorted(name.split()[1] for name in played) == ["0", "1", "2", "3", "4", "5"]
    assert {name.split()[0] for name in played} == {"a", "b"}
    assert len(await tested_events(db)) == 1


async def test_scenarios_leave_places_to_calls(customer: Customer, projects: FakeProjects, db: Database) -> None:
    places = Places(2)
    path = await started(customer, projects, *({**BUSY, "name": str(number)} for number in range(5)))
    async with playing(db, passes, places, at_once=4):
        await finished(customer, path)
        await eventually(lambda: places.free == 2)
    assert places.least == 0


async def test_a_lost_workers_scenario_is_played_again_and_its_late_report_is_not_kept(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    path = await started(customer, projects, BUSY)
    (lost,) = await repository.take(db, "lost", timedelta(0), 8)
    async with playing(db, passes, Places()):
        test = await finished(customer, path)
    assert test["scenarios"][0]["status"] == "passed"
    late = judge(lost.scenario, Observation("failed", "late"))
    async with db.transaction() as tx:
        assert await repository.finish(tx, lost, late) is None
    assert (await customer.ask("GET", path))[1]["scenarios"][0]["report"]["status"] == "busy"


async def test_a_scenario_that_kills_workers_is_given_up(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    path = await started(customer, projects, BUSY)
    for _ in range(MAX_TRIES):
        assert len(await repository.take(db, "lost", timedelta(0), 8)) == 1
    async with playing(db, passes, Places()):
        test = await finished(customer, path)
    assert (test["status"], test["scenarios"][0]["report"]["reason"]) == ("failed", "worker_lost")
    assert await repository.take(db, "lost", timedelta(0), 8) == []


async def test_a_leased_scenario_is_left_alone(customer: Customer, projects: FakeProjects, db: Database) -> None:
    await started(customer, projects, BUSY)
    taken = await repository.take(db, "one", timedelta(0), 8)
    await repository.renew(db, LEASE, taken)
    assert await repository.take(db, "other", LEASE, 8) == []


async def test_a_worker_keeps_only_what_it_plays(customer: Customer, projects: FakeProjects, db: Database) -> None:
    """A scenario whose report was lost stayed leased while its worker played anything else."""
    await started(customer, projects, {**BUSY, "name": "another"}, BUSY)
    played, lost = await repository.take(db, "one", timedelta(0), 8)
    await repository.renew(db, LEASE, [played])
    [again] = await repository.take(db, "other", timedelta(0), 8)
    assert (again.test_id, again.position) == (lost.test_id, lost.position)
    await repository.renew(db, LEASE, [lost])  # by another fence: it is not its any more
    assert len(await repository.take(db, "third", LEASE, 8)) == 1


async def test_a_report_outlives_a_database_that_is_away_for_a_moment(
    customer: Customer, projects: FakeProjects, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was lost, and so was the scenario's worker."""
    failures, finish, plays = (
        [DatabaseUnavailableError(), DatabaseUnavailableError()],
        repository.finish,
        Counter[str](),
    )

    async def finish_later(*of: Any) -> Any:
        if failures:
            raise failures.pop()
        return await finish(*of)

    async def counts(scenario: Scenario, cast: Cast) -> ScenarioReport:
        plays[scenario.name] += 1
        return await passes(scenario, cast)

    monkeypatch.setattr(repository, "finish", finish_later)
    path = await started(customer, projects, BUSY)
    async with playing(db, counts, Places()):
        assert (await finished(customer, path))["status"] == "passed"
    assert (failures, plays) == ([], {"busy": 1})


async def test_a_worker_that_drains_gives_its_scenarios_back(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    begun, places = asyncio.Event(), Places()

    async def never_ends(_scenario: Scenario, _cast: Cast) -> ScenarioReport:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    path = await started(customer, projects, BUSY)
    draining = ScenarioPlayer(db, never_ends, places, owner="draining", at_once=4)
    async with running(draining.run(), "player"):
        await begun.wait()
        await draining.drain()
        assert (await customer.ask("GET", path))[1]["status"] == "waiting"
        assert places.free == 8
        async with playing(db, passes, Places()):
            assert (await finished(customer, path))["status"] == "passed"


async def test_a_bug_fails_its_scenario_only(customer: Customer, projects: FakeProjects, db: Database) -> None:
    async def breaks(scenario: Scenario, cast: Cast) -> ScenarioReport:
        if scenario.name == "broken":
            raise RuntimeError("a bug")
        return await passes(scenario, cast)

    path = await started(customer, projects, {**BUSY, "name": "broken"}, BUSY)
    async with playing(db, breaks, Places()):
        test = await finished(customer, path)
    assert [one["status"] for one in test["scenarios"]] == ["failed", "passed"]
    assert test["scenarios"][0]["report"]["reason"] == "internal_error"


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        ('{"speed": 3}', "20 dB"),
        ('{"line": {"noise_db": "loud"}}', "clean"),
        ('{"callee": null, "expect": 1}', "20 dB"),
    ],
)
async def test_a_stored_scenario_against_todays_rules_fails_alone(
    customer: Customer, projects: FakeProjects, db: Database, damage: str, line: str
) -> None:
    """Nobody's scenarios were played any more, and whoever read the test met an internal error."""
    path = await started(customer, projects, {**BUSY, "name": "old", "line": {"noise_db": 20}}, BUSY)
    await db.execute(
        "UPDATE agent_test_scenarios SET scenario = scenario::jsonb || $1::text::jsonb WHERE position = 1", damage
    )
    assert (await customer.ask("GET", path))[1]["scenarios"][0]["status"] == "waiting"
    async with playing(db, passes, Places()):
        test = await finished(customer, path)
    shown = [(one["name"], one["category"], one["line"], one["status"]) for one in test["scenarios"]]
    assert shown == [("old", "endings", line, "failed"), ("busy", "endings", "clean", "passed")]
    report = test["scenarios"][0]["report"]
    assert (report["status"], report["reason"], test["status"]) == ("failed", "scenario_unreadable", "failed")
    assert [event["passed"] for event in await tested_events(db)] == [False]


async def test_a_stored_report_that_can_not_be_read_is_a_failed_one(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    path = await started(customer, projects, BUSY)
    async with playing(db, passes, Places()):
        await finished(customer, path)
    await db.execute("UPDATE agent_test_scenarios SET report = (report::jsonb - 'checks')")
    test = (await customer.ask("GET", path))[1]
    assert (test["status"], test["scenarios"][0]["report"]["reason"]) == ("failed", "report_unreadable")


async def test_a_test_that_nobody_plays_expires(customer: Customer, projects: FakeProjects, db: Database) -> None:
    path = await started(customer, projects, BUSY)
    await db.execute("UPDATE agent_tests SET created_at = now() - interval '61 minutes'")
    assert (await customer.ask("GET", path))[1]["status"] == "expired"
    assert await repository.take(db, "late", LEASE, 8) == []
    assert await db.execute(repository.PRUNE, timedelta(minutes=30), 10) == "DELETE 1"
    assert await db.fetchval("SELECT count(*) FROM agent_test_scenarios") == 0
