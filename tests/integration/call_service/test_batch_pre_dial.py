"""A batch whose contacts the customer's server has to agree to, with real workers and a real server."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, unused_port
from standardwebhooks import Webhook

from call_service.app import build_app
from call_service.batches.pre_dial import PURPOSE, PreDial
from call_service.batches.rules import PRE_DIAL_MAX_FAILURES
from call_service.capacity.domain import ASKING
from call_service.carriers.port import DialRequest
from call_service.dialer.worker import Worker
from call_service.settings import CallApiSettings
from call_service.voice.memory_leg import MemoryLeg
from shared.background import running
from shared.clock import SystemClock
from shared.db import Database
from shared.http_client import GuardedClient
from shared.memory_bus import InMemoryBus
from shared.secret_box import SecretBox
from shared.testing.waiting import eventually
from tests.integration.call_service.test_dial_limits import booked, trunk
from tests.support.batches import csv_of, dialer, form_of, upload
from tests.support.calls import SECRET, Customer, FakeProjects
from tests.support.workers import Switchboard, claimers, sweeper, tools

SIGNING = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NAMED = b"number,name\n+12025550100,Anna\n"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def says(body: Any, status: int = 200) -> Answer:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=body if isinstance(body, str) else json.dumps(body), status=status)

    return answer


AGREES, REFUSES = says({"call": True}), says({"call": False, "reason": "She has\x00 moved."})


@dataclass
class Asked:
    """The customer's server: answers in this order, the last one from then on."""

    answers: list[Answer] = field(default_factory=lambda: [AGREES])
    bodies: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.bodies.append(Webhook(SIGNING).verify(text, dict(request.headers)))  # raises: 500
        self.ids.append(request.headers["webhook-id"])
        return await self.answers[min(len(self.ids), len(self.answers)) - 1](request)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application(handler_args={"handler_cancellation": True})
        app.router.add_post("/may-we-call", self.take)
        server = TestServer(app)
        await server.start_server(shutdown_timeout=0)
        yield str(server.make_url("/may-we-call"))
        await server.close()


@dataclass
class Scene:
    """A customer whose server is asked, and a worker that asks it."""

    customer: Customer
    projects: FakeProjects
    db: Database
    folder: Path
    asked: Asked
    hook: str
    board: Switchboard = field(default_factory=Switchboard)

    async def upload(self, content: bytes, **fields: str) -> dict[str, Any]:
        return await upload(self.customer, self.projects, content, **fields)

    async def asking_batch(self, content: bytes = NAMED) -> dict[str, Any]:
        return await self.upload(content, preDialUrl=self.hook, preDialSecret=SIGNING)

    async def shown(self, batch: dict[str, Any]) -> dict[str, Any]:
        return dict((await self.customer.ask("GET", f"/batch/{batch['id']}"))[1])

    async def contact(self, batch: dict[str, Any]) -> dict[str, Any]:
        _, answer = await self.customer.ask("GET", f"/batch/{batch['id']}/calls")
        return dict(answer["data"][0])

    async def reached(self, batch: dict[str, Any], decision: str) -> dict[str, Any]:
        """The contact, once there is such a decision about it."""
        found: dict[str, Any] = {}

        async def is_decided() -> bool:
            nonlocal found
            found = await self.contact(batch)
            return decision in {known["decision"] for known in found["decisions"]} and found["reason"] is not None

        await eventually(is_decided, 15)
        return found

    @asynccontextmanager
    async def at_work(self, *, limit_seconds: float = 3) -> AsyncIterator[None]:
        """A worker that asks."""
        async with GuardedClient(allow_private=True, total_timeout=timedelta(seconds=limit_seconds)) as client:
            box = SecretBox(SECRET, PURPOSE)
            asking = PreDial(self.db, client, box, SystemClock(), retry_seconds=0.01)
            at_hand = replace(await tools(self.db, self.board, self.folder), pre_dial=asking)
            worker = Worker(self.db, at_hand, claimers(self.db, "worker"), owner="worker", max_calls=10)
            async with running(worker.run(10), "worker"):
                yield
                await self.board.close()
                await worker.drain()


@pytest.fixture
async def scene(customer: Customer, projects: FakeProjects, db: Database, tmp_path: Path) -> AsyncIterator[Scene]:
    asked = Asked()
    async with asked.serving() as hook:
        yield Scene(customer, projects, db, tmp_path, asked, hook)


@pytest.mark.parametrize("key", [None, "another-encryption-key-0123456789abcdef"])
async def test_a_secret_that_can_not_be_read_is_no_consent(scene: Scene, key: str | None) -> None:
    """The calls broke their workers, and came back to the queue after each lease."""
    batch = await scene.asking_batch()
    sealed = SecretBox(key, PURPOSE).seal_text(SIGNING) if key else "not base64"
    await scene.db.execute("UPDATE batches SET pre_dial_secret = $1", sealed)
    async with scene.at_work():
        found = await scene.reached(batch, "ask")
    assert (found["reason"], scene.board.numbers, scene.asked.bodies) == ("pre_dial_failed", [], [])
    assert await scene.db.fetchval("SELECT detail->>'cause' FROM batch_decisions WHERE decision = 'ask'") == (
        "secret_unreadable"
    )


async def test_who_is_agreed_to_is_dialled(scene: Scene) -> None:
    batch = await scene.asking_batch()
    async with scene.at_work():
        await eventually(lambda: scene.board.numbers == ["+12025550100"], 15)
    [row] = await scene.db.fetch("SELECT id, batch_line FROM calls")
    assert scene.asked.bodies == [
        {
            "batchId": batch["id"],
            "callId": str(row["id"]),
            "line": 2,
            "number": "+12025550100",
            "variables": {"name": "Anna"},
            "attempt": 1,
        }
    ]
    decisions = (await scene.contact(batch))["decisions"]
    assert [(known["decision"], known["reason"]) for known in decisions[:2]] == [
        ("dial", "due"),
        ("ask", "pre_dial_agreed"),
    ]
    shown = await scene.shown(batch)
    assert shown["preDialUrl"] == scene.hook
    stored = await scene.db.fetchval("SELECT pre_dial_secret FROM batches")
    assert SIGNING not in json.dumps(shown) + stored


async def test_who_is_refused_is_not_dialled(scene: Scene) -> None:
    scene.asked.answers = [REFUSES]
    batch = await scene.asking_batch()
    async with scene.at_work():
        found = await scene.reached(batch, "ask")
    assert scene.board.asked == []
    assert (found["state"], found["reason"], found["attempts"]) == ("canceled", "pre_dial_refused", 0)
    evidence = found["decisions"][-1]
    assert (evidence["reason"], evidence["detail"]["said"]) == ("pre_dial_refused", "She has moved.")
    assert (await scene.shown(batch))["status"] == "completed"
    [call] = (await scene.customer.ask("GET", "/call"))[1]["data"]
    assert (call["status"], call["reason"]) == ("canceled", "pre_dial_refused")


async def test_the_server_may_change_variables(scene: Scene) -> None:
    scene.projects.agent["systemInstruction"] = "Remind {{name}} of {{day}}."
    scene.asked.answers = [says({"call": True, "variables": {"day": "Friday", "room": 12}, "more": 1})]
    batch = await scene.asking_batch(b"number,name,day\n+12025550100,Anna,Monday\n")
    async with scene.at_work():
        await eventually(lambda: scene.board.dialled != [], 15)
    call = await scene.db.fetchrow("SELECT agent, dynamic_variables FROM calls")
    assert call is not None
    assert call["agent"]["systemInstruction"] == "Remind Anna of Friday."
    assert call["dynamic_variables"] == {"name": "Anna", "day": "Friday", "room": "12"}
    assert (await scene.contact(batch))["decisions"][1]["detail"]["variables"] == ["day", "room"]


async def hangs(_request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    raise AssertionError


async def redirects(_request: web.Request) -> web.Response:
    raise web.HTTPFound("/may-we-call")


@pytest.mark.parametrize(
    ("answer", "cause", "requests"),
    [
        (says("", 500), "http_500", 2),
        (says("", 429), "http_429", 2),
        (hangs, "timeout", 2),
        (says("", 404), "http_404", 1),
        (redirects, "http_302", 1),
        (says("yes"), "invalid_answer", 1),
        (says({}), "invalid_answer", 1),
        (says({"call": "true"}), "invalid_answer", 1),
        (says({"call": 1}), "invalid_answer", 1),
        (says({"call": True, "variables": {"name": {}}}), "invalid_answer", 1),
        (says({"call": True, "variables": {"name": "\x00"}}), "invalid_answer", 1),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_without_an_answer_nobody_is_dialled(scene: Scene, answer: Answer, cause: str, requests: int) -> None:
    scene.asked.answers = [answer]
    batch = await scene.asking_batch()
    before = datetime.now(UTC)
    async with scene.at_work(limit_seconds=0.5 if answer is hangs else 10):
        found = await scene.reached(batch, "wait")
    assert scene.board.asked == []
    assert len(scene.asked.ids) == requests
    assert len(set(scene.asked.ids)) == 1
    assert (found["state"], found["reason"], found["attempts"]) == ("pending", "pre_dial_failed", 0)
    assert [(known["decision"], known["reason"]) for known in found["decisions"]] == [
        ("dial", "due"),
        ("ask", "pre_dial_failed"),
        ("wait", "pre_dial_failed"),
    ]
    assert found["decisions"][1]["detail"]["cause"] == cause
    assert timedelta(seconds=29) < datetime.fromisoformat(found["due_at"]) - before < timedelta(seconds=75)


async def test_a_server_that_is_away_is_not_taken_for_a_yes(scene: Scene) -> None:
    scene.hook = f"http://127.0.0.1:{unused_port()}/"
    batch = await scene.asking_batch()
    async with scene.at_work():
        found = await scene.reached(batch, "wait")
    assert (scene.board.asked, found["decisions"][1]["detail"]["cause"]) == ([], "connect")


async def test_a_passing_error_is_asked_again_at_once(scene: Scene) -> None:
    scene.asked.answers = [says("", 503), AGREES]
    await scene.asking_batch()
    async with scene.at_work():
        await eventually(lambda: scene.board.dialled != [], 15)
    assert len(scene.asked.ids) == 2
    assert len(set(scene.asked.ids)) == 1


async def test_a_contact_that_cannot_be_asked_about_is_given_up(scene: Scene) -> None:
    scene.asked.answers = [says("", 404)]
    batch = await scene.asking_batch()

    async def again() -> bool:
        await scene.db.execute("UPDATE batch_contacts SET due_at = now() WHERE state = 'pending'")
        return (await scene.contact(batch))["state"] == "failed"

    async with scene.at_work():
        await eventually(again, 30)
    found = await scene.contact(batch)
    assert (found["reason"], found["attempts"], len(scene.asked.ids)) == ("pre_dial_failed", 0, PRE_DIAL_MAX_FAILURES)
    assert (await scene.shown(batch))["status"] == "completed"
    assert scene.board.asked == []


async def test_while_it_is_asked_nothing_is_locked_and_others_go_on(scene: Scene) -> None:
    """The question is before the intent; a pause in the middle of it is a pause."""
    held = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        await held.wait()
        return await AGREES(request)

    scene.asked.answers = [slow]
    batch = await scene.asking_batch(csv_of(3))
    async with scene.at_work(limit_seconds=60):
        await eventually(lambda: len(scene.asked.ids) == 3, 15)
        await scene.upload(csv_of(2, first=100))
        await eventually(lambda: sorted(scene.board.numbers) == ["+12025550100", "+12025550101"], 15)
        assert {
            row["status"] for row in await scene.db.fetch("SELECT status FROM calls WHERE batch_id = $1", batch["id"])
        } == {"queued"}
        idle = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in trans%'"
        )

        async def is_nothing_held() -> bool:  # what the end of the other calls' set-up holds is over in a moment
            return int(await scene.db.fetchval(idle)) == 0

        await eventually(is_nothing_held)
        await scene.customer.ask("POST", f"/batch/{batch['id']}/pause")
        held.set()

        async def are_back() -> bool:
            return (await scene.shown(batch))["counts"] == {"pending": 3}

        await eventually(are_back, 15)
    assert len(scene.board.asked) == 2


async def test_who_takes_a_call_over_asks_again(scene: Scene) -> None:
    await scene.asking_batch()
    [lost] = await dialer(scene.db, "lost").claim(1)
    await scene.db.execute("UPDATE calls SET lease_until = now() - interval '1 second'")

    async def is_requeued() -> bool:
        await sweeper(scene.db, scene.folder).sweep_once()
        return await scene.db.fetchval("SELECT owner FROM calls") is None

    await eventually(is_requeued)
    scene.asked.answers = [REFUSES]
    async with scene.at_work():
        await eventually(lambda: scene.asked.ids != [], 15)
    assert [body["callId"] for body in scene.asked.bodies] == [lost.call.id]
    assert scene.board.asked == []


async def test_a_dead_server_stops_its_batch_and_no_other(scene: Scene) -> None:
    scene.asked.answers = [says("", 404)]
    batch = await scene.asking_batch(csv_of(200))

    async def is_stopped() -> bool:
        return bool(
            await scene.db.fetchval(
                "SELECT blocked_until > now() AND active = 0 FROM batches WHERE id = $1", batch["id"]
            )
        )

    async with scene.at_work():
        await eventually(is_stopped, 20)
        await scene.upload(csv_of(1, first=1000))
        await eventually(lambda: scene.board.numbers == ["+12025551000"], 15)
    assert 10 <= len(scene.asked.ids) < 40
    shown = await scene.shown(batch)
    assert [known["decision"] for known in shown["decisions"]] == ["break"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"preDialUrl": "https://example.com/x"}, "preDialSecret"),
        ({"preDialSecret": SIGNING}, "preDialSecret"),
        ({"preDialUrl": "https://example.com/x", "preDialSecret": "whsec_short"}, "preDialSecret"),
        ({"preDialUrl": "https://example.com/x", "preDialSecret": "whsec_" + "A" * 400}, "preDialSecret"),
        ({"preDialUrl": "https://example.com/x", "preDialSecret": SIGNING.removeprefix("whsec_")}, "preDialSecret"),
        ({"preDialUrl": "nonsense", "preDialSecret": SIGNING}, "preDialUrl"),
        ({"preDialUrl": "http://example.com/x", "preDialSecret": SIGNING}, "preDialUrl"),
        ({"preDialUrl": "https://127.0.0.1/x", "preDialSecret": SIGNING}, "preDialUrl"),
        ({"preDialUrl": "https://u:p@example.com/x", "preDialSecret": SIGNING}, "preDialUrl"),
        ({"preDialUrl": "https://example.com/" + "x" * 3000, "preDialSecret": SIGNING}, "preDialUrl"),
    ],
    ids=[str(number) for number in range(10)],
)
async def test_what_can_not_be_asked_is_refused_at_the_upload(
    calls_url: str, projects: FakeProjects, db: Database, tmp_path: Path, fields: dict[str, str], named: str
) -> None:
    settings = CallApiSettings(
        database_url=calls_url,
        internal_token_secret=SECRET,
        encryption_key=SECRET,
        project_url=projects.url,
        recordings_dir=tmp_path,
    )
    async with TestClient(TestServer(build_app(settings, InMemoryBus()))) as client:
        form = form_of(csv_of(1), projectId=projects.project_id, **fields)
        async with Customer(client, projects.tenant).open("POST", "/call/batch-call", data=form) as response:
            answer = await response.json()
    assert (response.status, {error["field"] for error in answer["errors"]}) == (400, {named})
    assert not any(value.startswith("whsec") and value in json.dumps(answer) for value in fields.values())
    assert await db.fetchval("SELECT count(*) FROM batch_contacts") == 0


async def test_a_batch_without_a_server_asks_nobody(scene: Scene) -> None:
    await scene.upload(csv_of(1))
    async with scene.at_work():
        await eventually(lambda: scene.board.dialled != [], 15)
    assert scene.asked.ids == []


class TimedBoard(Switchboard):
    """Knows when it dialled."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    async def place(self, request: DialRequest) -> MemoryLeg:
        self.times.append(asyncio.get_running_loop().time())
        return await super().place(request)


async def test_slow_answers_do_not_bunch_the_dials(scene: Scene) -> None:
    """All answers come at once, after their starts: the calls were dialled within milliseconds."""
    board = scene.board = TimedBoard()
    await trunk(scene.db, scene.projects.tenant, per_second=2)
    all_asked = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if len(scene.asked.ids) == 5:
            all_asked.set()
        await all_asked.wait()
        await asyncio.sleep(2)
        return await AGREES(request)

    scene.asked.answers = [answer]
    await scene.asking_batch(csv_of(5))
    async with scene.at_work(limit_seconds=10):
        await eventually(lambda: len(board.times) == 5, 20)
    assert board.times[-1] - board.times[0] > 0.5, "two seconds, but for the jitter of a busy machine"


async def test_answers_in_time_cost_no_start(scene: Scene) -> None:
    trunk_id = await trunk(scene.db, scene.projects.tenant, per_second=2)
    await scene.asking_batch(csv_of(5))
    async with scene.at_work():
        await eventually(lambda: len(scene.board.dialled) == 5, 20)
        starts = await booked(scene.db, trunk_id)
    first = await scene.db.fetchval("SELECT min(created_at) FROM calls")
    assert starts[-1] - first < ASKING + 4 * timedelta(seconds=0.5) + timedelta(seconds=1)
