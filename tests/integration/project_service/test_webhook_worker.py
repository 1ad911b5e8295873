"""The webhook worker against a real receiver on loopback, with real Postgres."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr
from standardwebhooks import Webhook

from project_service.app import build_webhooks_app
from project_service.settings import WebhookSettings
from project_service.webhooks import deliverer, queue
from shared.db import Database
from shared.events import Event
from shared.http import DRAIN_HOOKS
from shared.ids import new_id
from shared.memory_bus import InMemoryBus
from shared.testing.waiting import eventually

Reply = Callable[[web.Request], Awaitable[web.Response]]


async def ok(_request: web.Request) -> web.Response:
    return web.Response()


async def hang(_request: web.Request) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


def answering(status: int, **headers: str) -> Reply:
    async def reply(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return reply


@dataclass
class Receiver:
    """A customer's server; `replies` are used up first, then `reply` answers. Paths tell endpoints apart."""

    reply: Reply = ok
    replies: list[Reply] = field(default_factory=list)
    got: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    open: Counter[str] = field(default_factory=Counter)
    most_open: Counter[str] = field(default_factory=Counter)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.got.append((request.path, dict(request.headers), await request.text()))
        self.open[request.path] += 1
        self.most_open[request.path] = max(self.most_open[request.path], self.open[request.path])
        try:
            return await (self.replies.pop(0) if self.replies else self.reply)(request)
        finally:
            self.open[request.path] -= 1

    def types(self) -> list[str]:
        return [body.split('"')[3] for _, _, body in self.got]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application(handler_args={"handler_cancellation": True})
    app.router.add_post("/{path:.*}", receiver.handle)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0)
    receiver.url = str(server.make_url("/hook"))
    yield receiver
    await server.close()


@pytest.fixture
async def bus() -> AsyncIterator[InMemoryBus]:
    bus = InMemoryBus(backoff=lambda _failures: 0)
    yield bus
    await bus.close()


@pytest.fixture
async def worker(webhook_settings: WebhookSettings, bus: InMemoryBus) -> AsyncIterator[TestServer]:
    async with TestServer(build_webhooks_app(webhook_settings, bus)) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Endpoint:
    user_id: str
    project_id: str
    secret: str

    def event(self, type_: str, *, call: str | None = None, sequence: int = 1) -> Event:
        return Event(
            id=new_id(),
            type=type_,
            time=datetime.now(UTC),
            source="call_service",
            subject=call or new_id(),
            tenant=self.user_id,
            project_id=self.project_id,
            sequence=sequence,
            data={"call_id": "c", "status": "completed"},
        )


async def registered(user: Any, url: str, name: str = "Front desk") -> Endpoint:
    project_id = await user.project(name)
    body = {"projectId": project_id, "webhookURL": url}
    _, answer = await user("POST", "/project/call-status/add-webhookurl", body)
    return Endpoint(user.id, project_id, answer["signingSecret"])


@pytest.fixture
async def endpoint(user: Any, receiver: Receiver) -> Endpoint:
    return await registered(user, receiver.url)


async def publish(bus: InMemoryBus, *events: Event) -> None:
    assert await bus.publish_many(events, 5) == {event.id for event in events}


async def skip_delays(db: Database) -> None:
    """As if the time of the next retry had come."""
    await db.execute("UPDATE webhook_deliveries SET next_at = now() WHERE status = 'pending' AND claim IS NULL")
    await db.execute("SELECT pg_notify('projects_webhooks', '0')")


def has_counts(db: Database, **counts: int) -> Callable[[], Awaitable[bool]]:
    """Are there exactly so many deliveries of each status?"""

    async def check() -> bool:
        rows = await db.fetch("SELECT status, count(*) AS n FROM webhook_deliveries GROUP BY status")
        return {row["status"]: row["n"] for row in rows} == counts

    return check


def attempted(db: Database, times: int) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return bool(await db.fetchval("SELECT count(*) FROM webhook_attempts") == times)

    return check


@pytest.mark.usefixtures("worker")
async def test_a_call_event_arrives_with_a_valid_signature(
    endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus, db: Database, user: Any
) -> None:
    event = endpoint.event("call.queued")
    await publish(bus, event, event)
    await eventually(has_counts(db, delivered=1))
    [(_, headers, body)] = receiver.got
    message = Webhook(endpoint.secret).verify(body, headers)
    assert message == {
        "type": "call.queued",
        "timestamp": event.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": event.data,
    }
    _, log = await user("GET", "/webhook/deliveries")
    assert log["data"][0]["id"] == {name.lower(): value for name, value in headers.items()}["webhook-id"]
    assert [attempt["http_status"] for attempt in log["data"][0]["log"]] == [200]


@pytest.mark.usefixtures("worker")
async def test_only_the_documented_events_of_projects_with_a_url_are_sent(
    endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus, db: Database, user: Any, stranger: Any
) -> None:
    without = Endpoint(user.id, await user.project("No hook"), "")
    of_another = Endpoint(stranger.id, endpoint.project_id, "")
    await publish(
        bus,
        endpoint.event("call.turn"),
        without.event("call.queued"),
        of_another.event("call.queued"),
        endpoint.event("call.transcript.ready"),
    )
    await eventually(has_counts(db, delivered=1))
    assert receiver.types() == ["call.transcript.ready"]


@pytest.mark.usefixtures("worker")
async def test_a_failed_delivery_is_tried_again_with_the_same_id(
    endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus, db: Database, user: Any
) -> None:
    receiver.replies = [answering(500)]
    await publish(bus, endpoint.event("call.queued"))
    await eventually(attempted(db, 1))
    delay = await db.fetchval("SELECT next_at - now() FROM webhook_deliveries")
    assert timedelta(seconds=3) < delay < timedelta(seconds=5.6)
    await skip_delays(db)
    await eventually(has_counts(db, delivered=1))
    (_, first, body), (_, second, again) = receiver.got
    assert first["webhook-id"] == second["webhook-id"]
    assert body == again
    _, log = await user("GET", f"/webhook/deliveries?projectId={endpoint.project_id}&status=delivered")
    assert [attempt["http_status"] for attempt in log["data"][0]["log"]] == [500, 200]
    assert log["data"][0]["attempts"] == 2


async def test_a_receiver_that_hangs_is_cut_and_tried_again(
    endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus, db: Database, webhook_settings: WebhookSettings
) -> None:
    receiver.replies = [hang]
    hasty = webhook_settings.model_copy(update={"webhook_timeout_seconds": 1.0})
    async with TestServer(build_webhooks_app(hasty, bus)):
        await publish(bus, endpoint.event("call.queued"))
        await eventually(lambda: len(receiver.got) == 1)
        await eventually(attempted(db, 1))
    assert await db.fetchval("SELECT error FROM webhook_attempts") == "timeout"
    await skip_delays(db)
    async with TestServer(build_webhooks_app(webhook_settings, bus)):
        await eventually(has_counts(db, delivered=1))


@pytest.mark.usefixtures("worker")
async def test_retry_after_is_honoured(endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus, db: Database) -> None:
    receiver.replies = [answering(503, Retry_After="120")]
    await publish(bus, endpoint.event("call.queued"))
    await eventually(attempted(db, 1))
    assert await db.fetchval("SELECT next_at - now() FROM webhook_deliveries") > timedelta(seconds=110)


@pytest.mark.usefixtures("worker")
async def test_410_disables_the_endpoint_until_it_is_registered_again(
    endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus, db: Database, user: Any
) -> None:
    receiver.replies = [answering(410)]
    call = new_id()
    await publish(bus, endpoint.event("call.queued", call=call), endpoint.event("call.ended", call=call, sequence=2))
    await eventually(has_counts(db, parked=2))
    await publish(bus, endpoint.event("call.queued"))
    await eventually(has_counts(db, parked=3))
    assert len(receiver.got) == 1
    assert await db.fetchval("SELECT data ->> 'reason' FROM outbox WHERE type = 'webhook.disabled'") == "gone"
    body = {"projectId": endpoint.project_id, "webhookURL": receiver.url}
    await user("POST", "/project/call-status/add-webhookurl", body)
    status, answer = await user("POST", "/webhook/replay?since=2020-01-01T00:00:00Z")
    assert (status, answer) == (202, {"replayed": 3})
    await eventually(has_counts(db, delivered=3))
    of_call = [type_ for type_ in receiver.types()[1:] if type_ == "call.ended"]
    assert of_call == ["call.ended"]


@pytest.mark.usefixtures("worker")
async def test_ten_410s_at_once_are_all_settled(
    endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus, db: Database
) -> None:
    together = asyncio.Barrier(10)

    async def gone(_request: web.Request) -> web.Response:
        await together.wait()
        return web.Response(status=410)

    receiver.reply = gone
    await publish(bus, *(endpoint.event("call.queued") for _ in range(10)))
    await eventually(attempted(db, 10))
    assert await has_counts(db, parked=10)()
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE type = 'webhook.disabled'") == 1


@pytest.mark.usefixtures("worker")
async def test_a_success_ends_the_failing_days(
    endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus, db: Database
) -> None:
    receiver.replies = [answering(500)]
    await publish(bus, endpoint.event("call.queued"))
    await eventually(attempted(db, 1))
    assert await db.fetchval("SELECT failing_since FROM webhook_endpoints") is not None
    await skip_delays(db)
    await eventually(has_counts(db, delivered=1))
    assert await db.fetchval("SELECT failing_since FROM webhook_endpoints") is None


@pytest.mark.usefixtures("worker")
async def test_five_failing_days_disable_the_endpoint(
    endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus, db: Database
) -> None:
    receiver.reply = answering(500)
    await db.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '5 days 1 minute'")
    await publish(bus, endpoint.event("call.queued"))
    await eventually(has_counts(db, parked=1))
    assert await db.fetchval("SELECT disabled_reason FROM webhook_endpoints") == "failing"


@pytest.mark.usefixtures("worker")
async def test_events_of_one_call_arrive_in_order(
    endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus, db: Database
) -> None:
    receiver.replies = [answering(500)]
    call = new_id()
    types = ["call.queued", "call.initiated", "call.ringing", "call.answered", "call.ended"]
    events = [endpoint.event(type_, call=call, sequence=place + 1) for place, type_ in enumerate(types)]
    await publish(bus, *reversed(events))
    await eventually(attempted(db, 1))
    await eventually(has_counts(db, pending=1, waiting=4))
    await publish(bus, endpoint.event("call.completed"))
    await eventually(has_counts(db, pending=1, waiting=4, delivered=1))
    await skip_delays(db)
    await eventually(has_counts(db, delivered=6))
    assert receiver.types() == ["call.queued", "call.completed", *types]


@pytest.mark.usefixtures("worker")
async def test_after_ten_attempts_a_delivery_is_parked_and_the_next_one_goes(
    endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus, db: Database, user: Any
) -> None:
    receiver.replies = [answering(500)] * 10
    call = new_id()
    await publish(bus, endpoint.event("call.queued", call=call), endpoint.event("call.ended", call=call, sequence=2))
    for times in range(1, 10):
        await eventually(attempted(db, times))
        await skip_delays(db)
    await eventually(has_counts(db, parked=1, delivered=1))
    _, log = await user("GET", "/webhook/deliveries?status=parked")
    [parked] = log["data"]
    assert (parked["attempts"], len(parked["log"]), parked["next_attempt_at"]) == (10, 10, None)
    assert (await user("POST", f"/webhook/deliveries/{parked['id']}/replay"))[0] == 202
    await eventually(has_counts(db, delivered=2))
    assert receiver.types()[-2:] == ["call.ended", "call.queued"]


@pytest.mark.usefixtures("worker")
async def test_a_range_is_replayed_in_the_order_of_the_call(
    endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus, db: Database, user: Any
) -> None:
    call, types = new_id(), ["call.queued", "call.initiated", "call.ringing", "call.answered"]
    await publish(bus, *(endpoint.event(type_, call=call, sequence=place) for place, type_ in enumerate(types, 1)))
    await eventually(has_counts(db, delivered=4))
    await db.execute(
        "UPDATE webhook_deliveries SET created_at = '2026-11-01T10:00Z'::timestamptz + sequence * '1h'::interval"
    )
    receiver.got.clear()

    async def replayed(query: str) -> list[str]:
        status, answer = await user("POST", f"/webhook/replay?{query}")
        assert status == 202
        await eventually(has_counts(db, delivered=4))
        types, receiver.got = receiver.types(), []
        assert len(types) == answer["replayed"]
        return types

    project = f"projectId={endpoint.project_id}"
    assert await replayed(f"since=2026-11-01T12:00:00Z&until=2026-11-01T14:00:00Z&{project}") == types[1:3]
    assert await replayed("since=2026-11-01T00:00:00Z&status=parked") == []
    assert await replayed("since=2026-11-01T00:00:00Z&status=delivered") == types
    assert await replayed(f"since=2026-11-01T00:00:00Z&projectId={new_id()}") == []


@pytest.mark.usefixtures("worker")
async def test_a_replay_under_a_key_holds_the_locks_of_one_batch_at_a_time_and_happens_once(
    endpoint: Endpoint, bus: InMemoryBus, db: Database, user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was one transaction, which held the locks of all its calls to the end."""
    held, reopen = [], queue.reopen

    async def watched(tx: Any, *rest: Any) -> int:
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        held.append(await tx.fetchval(locks))
        return await reopen(tx, *rest)

    monkeypatch.setattr(queue, "reopen", watched)
    monkeypatch.setattr("project_service.webhooks.service._REPLAY_BATCH", 2)
    await publish(bus, *(endpoint.event("call.queued", call=new_id()) for _ in range(7)))
    await eventually(has_counts(db, delivered=7))
    replay = "/webhook/replay?since=2026-11-01T00:00:00Z"
    answers = [await user("POST", replay, **{"Idempotency-Key": "a key of this test"}) for _ in range(2)]
    assert [(status, answer["replayed"]) for status, answer in answers] == [(202, 7)] * 2
    assert held == [2, 2, 2, 1]


@pytest.mark.usefixtures("worker")
async def test_a_dead_endpoint_slows_no_other(
    receiver: Receiver, bus: InMemoryBus, db: Database, user: Any, stranger: Any
) -> None:
    async def reply(request: web.Request) -> web.Response:
        return await (hang if request.path == "/dead" else ok)(request)

    receiver.reply = reply
    dead = await registered(user, receiver.url.replace("hook", "dead"))
    lively = await registered(stranger, receiver.url)
    await publish(bus, *(dead.event("call.queued") for _ in range(60)))
    await eventually(lambda: receiver.open["/dead"] == 10)
    await publish(bus, *(lively.event("call.queued") for _ in range(20)))
    await eventually(lambda: len([path for path, _, _ in receiver.got if path == "/hook"]) == 20)
    assert receiver.open["/dead"] == receiver.most_open["/dead"] == 10


async def test_a_customer_whose_endpoints_all_hang_slows_no_other(
    receiver: Receiver, bus: InMemoryBus, user: Any, stranger: Any, webhook_settings: WebhookSettings
) -> None:
    async def reply(request: web.Request) -> web.Response:
        return await (hang if request.path == "/dead" else ok)(request)

    receiver.reply = reply
    dead = [await registered(user, receiver.url.replace("hook", "dead"), f"Project {number}") for number in range(5)]
    lively = await registered(stranger, receiver.url)
    few = webhook_settings.model_copy(update={"webhook_concurrency": 40, "webhook_timeout_seconds": 30.0})
    async with TestServer(build_webhooks_app(few, bus)):
        await publish(bus, *(endpoint.event("call.queued") for endpoint in dead for _ in range(10)))
        await eventually(lambda: receiver.open["/dead"] == 10)
        await publish(bus, *(lively.event("call.queued") for _ in range(30)))
        await eventually(lambda: len([path for path, _, _ in receiver.got if path == "/hook"]) == 30)
        assert receiver.most_open["/dead"] == 10


async def test_an_endpoint_that_fails_is_asked_less(
    endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus, webhook_settings: WebhookSettings, db: Database
) -> None:
    await db.execute("UPDATE webhook_endpoints SET failing_since = now()")
    receiver.reply = hang
    async with TestServer(build_webhooks_app(webhook_settings, bus)):
        await publish(bus, *(endpoint.event("call.queued") for _ in range(5)))
        await eventually(lambda: receiver.open["/hook"] == 2)
        await eventually(has_counts(db, pending=5))
        assert await queue.claim(db, {endpoint.project_id: 2}, 100, timedelta(seconds=45), 100) == []
        assert receiver.most_open["/hook"] == 2


@pytest.mark.usefixtures("worker")
async def test_an_event_behind_one_that_is_no_webhook_waits_for_a_moment_only(
    endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus
) -> None:
    """Behind `call.turn`, for example: nothing tells whether the event before it is still to come."""
    loop = asyncio.get_running_loop()
    seconds = []
    for _ in range(3):
        started = loop.time()
        receiver.got.clear()
        await publish(bus, endpoint.event("call.ended", sequence=7))
        await eventually(lambda: len(receiver.got) == 1)
        seconds.append(loop.time() - started)
    assert 0.3 <= min(seconds) < 0.9, "woken for it: the poll comes a second after the event"


async def test_a_crash_of_the_worker_shows_and_passes(
    endpoint: Endpoint,
    receiver: Receiver,
    bus: InMemoryBus,
    webhook_settings: WebhookSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claim, crashed = queue.claim, asyncio.Event()

    async def crash(*_: Any) -> list[queue.Claimed]:
        crashed.set()
        raise RuntimeError("a bug")

    monkeypatch.setattr(queue, "claim", crash)
    async with TestClient(TestServer(build_webhooks_app(webhook_settings, bus))) as client:
        await crashed.wait()
        async with client.get("/health/ready") as answer:
            assert (answer.status, (await answer.json())["checks"]["webhook_deliveries"]) == (503, "UnavailableError")
        monkeypatch.setattr(queue, "claim", claim)
        await publish(bus, endpoint.event("call.queued"))
        await eventually(lambda: len(receiver.got) == 1)


@pytest.mark.usefixtures("worker")
async def test_a_bug_in_sending_is_a_failed_attempt(
    endpoint: Endpoint, bus: InMemoryBus, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer, "signed_headers", lambda *_: {"no header": "\n"})
    await publish(bus, endpoint.event("call.queued"))
    await eventually(attempted(db, 1))
    assert await db.fetchval("SELECT error FROM webhook_attempts") == "internal_error"


async def test_what_a_dead_worker_had_claimed_is_delivered_after_its_lease(
    endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus, db: Database, webhook_settings: WebhookSettings
) -> None:
    message = queue.Message(
        new_id(), endpoint.user_id, endpoint.project_id, new_id(), "call.ended", new_id(), 1, '{"type":"call.ended"}'
    )
    async with db.transaction() as tx:
        await queue.add(tx, message)
    lease = timedelta(seconds=3)
    [claimed] = await queue.claim(db, {}, 10, lease, 10)
    assert await queue.claim(db, {}, 10, lease, 10) == []
    started = datetime.now(UTC)
    async with TestServer(build_webhooks_app(webhook_settings, bus)):
        await eventually(has_counts(db, delivered=1))
    assert datetime.now(UTC) - started > timedelta(seconds=1)
    assert len(receiver.got) == 1
    async with db.transaction() as tx:
        await queue.settle(tx, claimed, queue.Verdict("pending"))
    assert await has_counts(db, delivered=1)(), "the lost lease writes nothing"


async def test_what_is_claimed_as_the_worker_ends_is_delivered_once_before_it_has_ended(
    endpoint: Endpoint,
    receiver: Receiver,
    bus: InMemoryBus,
    db: Database,
    webhook_settings: WebhookSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The deliveries of a claim that came back after SIGTERM were cut in the middle of their request."""
    claim, claimed, ending = queue.claim, asyncio.Event(), asyncio.Event()

    async def late(*arguments: Any) -> list[queue.Claimed]:
        deliveries = await claim(*arguments)
        if deliveries:
            claimed.set()
            await ending.wait()
        return deliveries

    async def slow(_request: web.Request) -> web.Response:
        await asyncio.sleep(0.1)
        return web.Response()

    monkeypatch.setattr(queue, "claim", late)
    receiver.reply = slow
    app = build_webhooks_app(webhook_settings, bus)
    async with TestServer(app):
        await publish(bus, endpoint.event("call.queued"))
        await claimed.wait()
        draining = asyncio.gather(*(hook() for hook in app[DRAIN_HOOKS]))
        await asyncio.sleep(0)  # it has begun
        ending.set()
        await draining
    assert await has_counts(db, delivered=1)()
    assert len(receiver.got) == 1


async def test_a_secret_that_no_key_opens_is_a_failed_attempt(
    endpoint: Endpoint, receiver: Receiver, bus: InMemoryBus, db: Database, webhook_settings: WebhookSettings
) -> None:
    other_key = webhook_settings.model_copy(update={"encryption_key": SecretStr("another encryption key of the tests")})
    async with TestServer(build_webhooks_app(other_key, bus)):
        await publish(bus, endpoint.event("call.queued"))
        await eventually(attempted(db, 1))
    assert await db.fetchval("SELECT error FROM webhook_attempts") == "secret_undecryptable"
    assert receiver.got == []


@pytest.mark.usefixtures("worker")
async def test_the_log_pages_newest_first(endpoint: Endpoint, bus: InMemoryBus, db: Database, user: Any) -> None:
    await publish(bus, *(endpoint.event("call.queued") for _ in range(3)))
    await eventually(has_counts(db, delivered=3))
    _, first = await user("GET", "/webhook/deliveries?limit=2")
    _, second = await user("GET", f"/webhook/deliveries?limit=2&cursor={first['next_cursor']}")
    ids = [delivery["id"] for delivery in first["data"] + second["data"]]
    assert (len(ids), ids) == (3, sorted(ids, reverse=True))
    assert second["next_cursor"] is None


@pytest.mark.usefixtures("worker")
async def test_both_secrets_sign_during_a_rotation(
    endpoint: Endpoint, receiver: Receiver, db: Database, user: Any, stranger: Any
) -> None:
    which = {"projectId": endpoint.project_id}
    assert (await stranger("POST", "/webhook/rotate-secret", which))[0] == 404
    status, rotated = await user("POST", "/webhook/rotate-secret", which)
    assert status == 201
    status, test = await user("POST", "/webhook/test", which)
    assert status == 202
    await eventually(has_counts(db, delivered=1))
    [(_, headers, body)] = receiver.got
    assert headers["webhook-id"] == test["deliveryId"]
    for secret in (endpoint.secret, rotated["signingSecret"]):
        assert Webhook(secret).verify(body, headers)["type"] == "webhook.test"
    await db.execute("UPDATE webhook_endpoints SET previous_until = now()")
    await user("POST", "/webhook/test", which)
    await eventually(has_counts(db, delivered=2))
    assert " " not in receiver.got[1][1]["webhook-signature"]


async def test_what_the_webhook_endpoints_refuse(endpoint: Endpoint, user: Any, stranger: Any, db: Database) -> None:
    _, test = await user("POST", "/webhook/test", {"projectId": endpoint.project_id})
    refused = [
        (stranger, "POST", f"/webhook/deliveries/{test['deliveryId']}/replay", None, 404),
        (user, "POST", "/webhook/deliveries/nonsense/replay", None, 404),
        (stranger, "POST", "/webhook/test", {"projectId": endpoint.project_id}, 404),
        (user, "POST", "/webhook/test", {"projectId": "nonsense"}, 404),
        (user, "POST", "/webhook/test", {}, 422),
        (user, "POST", "/webhook/test", {"projectId": endpoint.project_id, "extra": 1}, 422),
        (user, "POST", "/webhook/rotate-secret", {}, 422),
        (user, "POST", "/webhook/replay", None, 422),
        (user, "POST", "/webhook/replay?since=yesterday", None, 422),
        (user, "POST", "/webhook/replay?since=2020-01-01T00:00:00Z&projectId=nonsense", None, 404),
        (user, "GET", "/webhook/deliveries?status=nonsense", None, 422),
        (user, "GET", "/webhook/deliveries?cursor=forged", None, 400),
    ]
    for who, method, path, body, expected in refused:
        status, answer = await who(method, path, body)
        assert (status, answer["status"]) == (expected, "error"), path
    assert (await stranger("GET", "/webhook/deliveries"))[1]["data"] == []
    await user("DELETE", f"/project/{endpoint.project_id}")
    for path in ("/webhook/test", "/webhook/rotate-secret"):
        assert (await user("POST", path, {"projectId": endpoint.project_id}))[1]["code"] == "webhook_not_set"
    assert (await stranger("POST", "/webhook/replay?since=2020-01-01T00:00:00Z"))[1] == {"replayed": 0}


async def test_private_targets_are_refused_where_they_are_not_allowed(settings: Any, serve_api: Any, user: Any) -> None:
    async with serve_api(settings.model_copy(update={"webhook_allow_private": False})) as client:
        strict = type(user)(client, user.id)
        project_id = await strict.project()
        for url in ("https://127.0.0.1/hook", "https://[::1]/", "https://169.254.169.254/latest", "http://example.com"):
            body = {"projectId": project_id, "webhookURL": url}
            status, answer = await strict("POST", "/project/call-status/add-webhookurl", body)
            assert (status, answer["code"]) == (400, "invalid_url"), url
