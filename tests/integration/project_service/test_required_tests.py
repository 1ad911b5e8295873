"""Versions of agents that have to pass tests before calls run with them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from project_service.app import build_app
from project_service.settings import ProjectSettings
from shared.clock import SystemClock
from shared.db import Database
from shared.events import Event
from shared.ids import new_id
from shared.memory_bus import InMemoryBus
from shared.testing.waiting import eventually
from tests.integration.project_service.conftest import User


@pytest.fixture
async def bus() -> AsyncIterator[InMemoryBus]:
    bus = InMemoryBus()
    yield bus
    await bus.close()


@pytest.fixture
async def client(settings: ProjectSettings, bus: InMemoryBus) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(build_app(settings, bus))) as client:
        yield client


@pytest.fixture
async def gated(user: User) -> tuple[str, str]:
    """A project, and an agent that requires two tests."""
    project_id = await user.project()
    return project_id, await user.agent(project_id, requiredTests=["books", "voicemail"])


async def tell(
    bus: InMemoryBus, db: Database, user: User, agent_id: str, version: int, results: list[tuple[str, str, bool]]
) -> None:
    """What call_service publishes when a test is finished; returns once it is known."""
    scenarios = [{"name": name, "line": line, "passed": passed} for name, line, passed in results]
    event = Event(
        id=new_id(),
        type="agent.tested",
        time=SystemClock().now(),
        source="call_service",
        subject=agent_id,
        tenant=user.id,
        project_id=new_id(),
        sequence=1,
        data={"testId": new_id(), "agentId": agent_id, "version": version, "scenarios": scenarios},
    )
    assert await bus.publish_many([event], 5) == {event.id}

    async def is_known() -> bool:
        return bool(await db.fetchval("SELECT count(*) FROM inbox WHERE event_id = $1", event.id))

    await eventually(is_known)


async def prepared(service: User, project_id: str, agent_id: str, **more: Any) -> tuple[int, Any]:
    """The version a call gets, or why it gets none."""
    status, answer = await service(
        "POST", "/internal/calls/prepare", {"projectId": project_id, "agentId": agent_id, **more}
    )
    return status, answer["agent"]["version"] if status == 200 else answer["code"]


async def activate(user: User, project_id: str, agent_id: str) -> tuple[int, Any]:
    status, answer = await user("PATCH", "/project/active-agent", {"projectId": project_id, "active_agent": agent_id})
    return status, answer.get("code")


async def change(user: User, project_id: str, agent_id: str, **changes: Any) -> None:
    status, _ = await user("PUT", "/agent", {"projectId": project_id, "agentId": agent_id, **changes})
    assert status == 200


async def test_an_agent_that_passed_nothing_is_neither_called_with_nor_activated(
    user: User, service: User, gated: tuple[str, str]
) -> None:
    assert await prepared(service, *gated) == (409, "tests_not_passed")
    assert await activate(user, *gated) == (409, "tests_not_passed")


async def test_a_test_gets_the_newest_version_whether_or_not_it_passed(
    user: User, service: User, gated: tuple[str, str]
) -> None:
    await change(user, *gated, name="Other")
    assert await prepared(service, *gated, isTest=True) == (200, 2)


async def test_all_required_scenarios_have_to_pass_on_every_line(
    user: User, service: User, gated: tuple[str, str], bus: InMemoryBus, db: Database
) -> None:
    _, agent_id = gated
    await tell(bus, db, user, agent_id, 1, [("books", "clean", True), ("unasked", "clean", False)])
    assert await prepared(service, *gated) == (409, "tests_not_passed")
    await tell(bus, db, user, agent_id, 1, [("voicemail", "clean", True), ("voicemail", "15 dB", False)])
    assert await prepared(service, *gated) == (409, "tests_not_passed")
    await tell(bus, db, user, agent_id, 1, [("voicemail", "15 dB", True)])
    assert await prepared(service, *gated) == (200, 1)
    assert await activate(user, *gated) == (200, None)
    await tell(bus, db, user, agent_id, 1, [("books", "clean", False)])  # the latest result counts
    assert await prepared(service, *gated) == (409, "tests_not_passed")


async def test_calls_keep_the_last_version_that_passed_until_the_new_one_has(
    user: User, service: User, gated: tuple[str, str], bus: InMemoryBus, db: Database
) -> None:
    _, agent_id = gated
    passed = [("books", "clean", True), ("voicemail", "clean", True)]
    await tell(bus, db, user, agent_id, 1, passed)
    await change(user, *gated, systemInstruction="Be rude.")
    assert await prepared(service, *gated) == (200, 1)
    await tell(bus, db, user, agent_id, 2, passed)
    assert await prepared(service, *gated) == (200, 2)
    await change(user, *gated, requiredTests=[])
    assert await prepared(service, *gated) == (200, 3)


async def test_a_number_of_an_agent_that_passed_nothing_is_not_answered(
    user: User, service: User, gated: tuple[str, str], bus: InMemoryBus, db: Database
) -> None:
    project_id, agent_id = gated
    number = {"e164": "+12025550123", "agentId": agent_id, "projectId": project_id}
    assert (await user("POST", "/phone-number/add-number", number))[0] == 200
    ask = ("POST", "/internal/calls/answer", {"e164": number["e164"], "tenants": [user.id]})
    assert (await service(*ask))[1]["agent"] is None
    await tell(bus, db, user, agent_id, 1, [("books", "clean", True), ("voicemail", "clean", True)])
    assert (await service(*ask))[1]["agent"]["id"] == agent_id


async def test_results_of_another_user_do_not_count(
    user: User, stranger: User, service: User, gated: tuple[str, str], bus: InMemoryBus, db: Database
) -> None:
    _, agent_id = gated
    await tell(bus, db, stranger, agent_id, 1, [("books", "clean", True), ("voicemail", "clean", True)])
    assert await prepared(service, *gated) == (409, "tests_not_passed")
    assert user.id != stranger.id


@pytest.mark.parametrize("names", [[""], ["x" * 101], "books"])
async def test_names_of_tests_are_checked(user: User, names: Any) -> None:
    project_id = await user.project()
    body = {"projectId": project_id, "name": "A", "systemInstruction": "Be kind.", "requiredTests": names}
    status, answer = await user("POST", "/agent/create-agent", body)
    assert status == 400
    assert answer["errors"][0]["field"].startswith("requiredTests")
