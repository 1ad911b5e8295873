"""The events of all calls: as a stream, over a WebSocket, and as pages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient

from call_service.events import hub, repository, streams
from call_service.events.routes import EVENTS, STREAMS
from shared import outbox
from shared.db import Database, Tx
from shared.ids import new_id
from shared.testing.waiting import eventually
from tests.support.calls import Customer, FakeProjects

JSON = {"Accept": "application/json"}


async def add(tx: Tx, tenant: str, type_: str = "call.ended", **changes: Any) -> str:
    fields = {"subject": new_id(), "project_id": None, "data": {}, **changes}
    return (await outbox.add(tx, source="test", type=type_, tenant=tenant, **fields)).id


async def happen(db: Database, tenant: str, type_: str = "call.ended", **changes: Any) -> str:
    async with db.transaction() as tx:
        return await add(tx, tenant, type_, **changes)


async def frames(response: ClientResponse, count: int) -> list[dict[str, Any]]:
    """The next events of a stream; comments are passed over."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            block = (await response.content.readuntil(b"\n\n")).decode().strip()
            if not block.startswith(":"):
                fields = dict(line.split(": ", 1) for line in block.splitlines())
                found.append({**fields, "data": orjson.loads(fields["data"])})
    return found


@asynccontextmanager
async def stream(customer: Customer, path: str = "/events", **headers: str) -> AsyncIterator[ClientResponse]:
    async with customer.open("GET", path, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        yield response


async def all_numbered(db: Database) -> None:
    async def none_waits() -> bool:
        return not await db.fetchval("SELECT count(*) FROM feed WHERE number IS NULL")

    await eventually(none_waits)


async def pages(customer: Customer, query: str = "", cursor: str | None = None) -> tuple[list[str], str]:
    """The ids of all events behind a cursor, by pages, and the last cursor."""
    ids: list[str] = []
    while True:
        at = f"&cursor={cursor}" if cursor else ""
        status, answer = await customer.ask("GET", f"/events?limit=2{query}{at}", headers=JSON)
        assert status == 200, answer
        cursor = answer["next_cursor"]
        if not answer["data"]:
            return ids, str(cursor)
        ids += [event["id"] for event in answer["data"]]


async def test_a_client_that_leaves_is_no_error(
    customer: Customer,
    projects: FakeProjects,
    db: Database,
    client: "TestClient[web.Request, web.Application]",
    caplog: pytest.LogCaptureFixture,
) -> None:
    open_streams = client.app[STREAMS]
    async with stream(customer):
        assert open_streams.open_streams == 1

    async def is_noticed() -> bool:
        await happen(db, projects.tenant)
        return open_streams.open_streams == 0

    await eventually(is_noticed)
    assert [record for record in caplog.records if record.name.startswith("aiohttp")] == []


async def test_events_come_as_they_happen(customer: Customer, projects: FakeProjects, db: Database) -> None:
    await happen(db, projects.tenant)
    await all_numbered(db)
    async with stream(customer) as response:
        first = await happen(db, projects.tenant, "call.queued", data={"text": "line\nbreak"})
        second = await happen(db, projects.tenant, "batch.started")
        await happen(db, new_id())
        last = await happen(db, projects.tenant)
        got = await frames(response, 3)
    assert [frame["data"]["id"] for frame in got] == [first, second, last]
    assert [frame["event"] for frame in got] == ["call.queued", "batch.started", "call.ended"]
    assert got[0]["data"]["data"] == {"text": "line\nbreak"}


async def test_a_stream_resumes_behind_its_last_id(customer: Customer, projects: FakeProjects, db: Database) -> None:
    async with stream(customer) as response:
        await happen(db, projects.tenant)
        [seen] = await frames(response, 1)
    missed = [await happen(db, projects.tenant) for _ in range(250)]  # more than a page
    async with stream(customer, **{"Last-Event-ID": seen["id"]}) as response:
        now = await happen(db, projects.tenant)
        got = await frames(response, 251)
    assert [frame["data"]["id"] for frame in got] == [*missed, now]


async def test_a_page_never_passes_over_what_commits_late(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    """A transaction that took its position first and commits last is still behind every cursor given before."""
    async with db.transaction() as slow:
        late = await add(slow, projects.tenant)
        early = await happen(db, projects.tenant)
        await all_numbered(db)
        ids, cursor = await pages(customer)
        assert ids == [early]
    await all_numbered(db)
    assert (await pages(customer, cursor=cursor))[0] == [late]


@pytest.mark.usefixtures("client")
async def test_readers_see_every_event_once_whatever_commits_when(db: Database, customer: Customer) -> None:
    tenant = customer.tenant
    added: list[str] = []

    async def use_case(seconds: float) -> None:
        async with db.transaction() as tx:
            added.append(await add(tx, tenant))
            await asyncio.sleep(seconds)

    async with stream(customer) as response:
        streamed = asyncio.create_task(frames(response, 120))
        writers = asyncio.gather(*(use_case(number * 37 % 11 / 200) for number in range(120)))
        read: list[str] = []
        cursor: str | None = None
        while not writers.done():
            ids, cursor = await pages(customer, cursor=cursor)
            read += ids
        await writers
        await all_numbered(db)
        read += (await pages(customer, cursor=cursor))[0]
        assert read == [frame["data"]["id"] for frame in await streamed]
    assert sorted(read) == sorted(added)
    assert len(set(read)) == 120


async def test_what_is_not_asked_for_does_not_come(customer: Customer, projects: FakeProjects, db: Database) -> None:
    call_id = new_id()
    ended = await happen(db, projects.tenant, subject=call_id)
    started = await happen(db, projects.tenant, "batch.started", project_id=projects.project_id)
    await happen(db, projects.tenant, "call.turn")
    await all_numbered(db)
    assert (await pages(customer, "&types=call.ended,batch.started"))[0] == [ended, started]
    assert (await pages(customer, "&types=call.ended&types=call.queued"))[0] == [ended]
    assert (await pages(customer, f"&project_id={projects.project_id}"))[0] == [started]
    assert (await pages(customer, f"&call_id={call_id}"))[0] == [ended]
    async with stream(customer, f"/events?types=batch.progress&project_id={projects.project_id}") as response:
        await happen(db, projects.tenant, "batch.progress")
        await happen(db, projects.tenant, "batch.started", project_id=projects.project_id)
        wanted = await happen(db, projects.tenant, "batch.progress", project_id=projects.project_id)
        [frame] = await frames(response, 1)
    assert frame["data"]["id"] == wanted


async def test_events_over_a_websocket_resume_too(customer: Customer, projects: FakeProjects, db: Database) -> None:
    async with customer.websocket("/events/ws") as socket:
        first = await happen(db, projects.tenant)
        seen = await socket.receive_json(timeout=10)
        assert (seen["event"], seen["data"]["id"]) == ("call.ended", first)
    second = await happen(db, projects.tenant)
    async with customer.websocket(f"/events/ws?cursor={seen['id']}") as socket:
        assert (await socket.receive_json(timeout=10))["data"]["id"] == second
    call_id = new_id()
    async with customer.websocket(f"/events/ws?call_id={call_id}") as socket:
        await happen(db, projects.tenant)
        own = await happen(db, projects.tenant, subject=call_id)
        assert (await socket.receive_json(timeout=10))["data"]["id"] == own


async def test_a_stopping_process_says_so_and_its_clients_resume(
    customer: Customer, projects: FakeProjects, db: Database, client: "TestClient[web.Request, web.Application]"
) -> None:
    async with stream(customer) as response, customer.websocket("/events/ws") as socket:
        await happen(db, projects.tenant)
        await frames(response, 1)
        await socket.receive_json(timeout=10)
        await client.app[EVENTS].hub.close()
        [last] = await frames(response, 1)
        assert last == {"event": "stream.closed", "data": {"type": "stream.closed", "reason": "shutdown"}}
        assert await response.content.read() == b""
        assert (await socket.receive_json(timeout=10))["data"]["reason"] == "shutdown"
        await socket.receive(timeout=10)
        assert socket.close_code == 1013


async def test_a_client_that_is_too_slow_is_told_so(
    customer: Customer, projects: FakeProjects, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "BUFFER", 3)
    async with stream(customer) as response:
        await happen(db, projects.tenant)
        await frames(response, 1)
        async with db.transaction() as tx:
            for _ in range(60):
                await add(tx, projects.tenant, data={"text": "x" * 500_000})
        got = [frame["data"]["type"] async for frame in until_closed(response)]
    assert got[-1] == "stream.closed"
    assert got.count("call.ended") < 60


async def test_a_websocket_that_is_too_slow_is_told_so(
    customer: Customer, projects: FakeProjects, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "BUFFER", 3)
    async with customer.websocket("/events/ws") as socket:
        await happen(db, projects.tenant)
        await socket.receive_json(timeout=10)
        async with db.transaction() as tx:
            for _ in range(60):
                await add(tx, projects.tenant, data={"text": "x" * 500_000})
        got = [orjson.loads(message.data) async for message in socket]
    assert got[-1] == {"id": None, "event": "stream.closed", "data": got[-1]["data"]}
    assert got[-1]["data"]["reason"] == "slow_consumer"
    assert len(got) < 60
    assert socket.close_code == 1013


async def test_a_stream_that_fails_says_so_and_ends(
    customer: Customer, projects: FakeProjects, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The WebSocket stayed open, with heartbeats, and nothing more came."""

    async def fails(*_: object) -> Any:
        raise ValueError

    monkeypatch.setattr(repository, "selected", fails)
    async with stream(customer) as response, customer.websocket("/events/ws") as socket:
        [last] = await frames(response, 1)
        assert last == {"event": "stream.closed", "data": {"type": "stream.closed", "reason": "internal_error"}}
        assert await response.content.read() == b""
        assert (await socket.receive_json(timeout=10))["data"]["reason"] == "internal_error"
        await socket.receive(timeout=10)
        assert socket.close_code == 1011


async def until_closed(response: ClientResponse) -> AsyncIterator[dict[str, Any]]:
    while True:
        [frame] = await frames(response, 1)
        yield frame
        if frame["event"] == streams.CLOSED:
            return


@pytest.mark.parametrize("path", ["/events", "/events/ws"])
async def test_a_client_that_does_not_read_is_cut_off(
    path: str,
    customer: Customer,
    projects: FakeProjects,
    db: Database,
    client: "TestClient[web.Request, web.Application]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "WRITE_TIMEOUT_SECONDS", 0.2)
    async with customer.websocket(path) if path.endswith("ws") else stream(customer):
        assert client.app[STREAMS].open_streams == 1
        async with db.transaction() as tx:
            for _ in range(40):
                await add(tx, projects.tenant, data={"text": "x" * 900_000})
        await eventually(lambda: client.app[STREAMS].open_streams == 0)


async def test_a_long_backlog_does_not_count_as_slow(
    customer: Customer, projects: FakeProjects, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "BUFFER", 3)
    _, cursor = await pages(customer)
    before = [await happen(db, projects.tenant) for _ in range(300)]
    async with stream(customer, f"/events?cursor={cursor}") as response:
        during = [await happen(db, projects.tenant) for _ in range(5)]
        got = await frames(response, 305)
    assert [frame["data"]["id"] for frame in got] == before + during


@pytest.mark.parametrize("path", ["/events", "/events/ws"])
@pytest.mark.parametrize("query", ["cursor=forged", "types=Call", "project_id=" + "x" * 65, "limit=0", "unknown=1"])
async def test_a_malformed_question_is_refused(customer: Customer, path: str, query: str) -> None:
    status, answer = await customer.ask("GET", f"{path}?{query}")
    assert (status, answer["code"]) == ((400, "invalid_cursor") if "cursor" in query else (422, "invalid_request"))


async def test_a_cursor_of_another_list_is_refused(customer: Customer, projects: FakeProjects) -> None:
    status, answer = await customer.ask("GET", f"/events?cursor={projects.project_id}", headers=JSON)
    assert (status, answer["code"]) == (400, "invalid_cursor")


async def test_an_old_cursor_is_refused_rather_than_events_passed_over(
    customer: Customer, client: "TestClient[web.Request, web.Application]", monkeypatch: pytest.MonkeyPatch
) -> None:
    _, cursor = await pages(customer)
    later = client.app[EVENTS].clock.now() + outbox.RETENTION
    monkeypatch.setattr(type(client.app[EVENTS].clock), "now", lambda _self: later)
    for headers in (JSON, {}):
        status, answer = await customer.ask("GET", f"/events?cursor={cursor}", headers=headers)
        assert (status, answer["code"]) == (410, "events_expired")


async def test_a_request_that_is_no_handshake_is_told_what_to_do(customer: Customer) -> None:
    async with customer.open("GET", "/events/ws") as response:
        assert (response.status, response.headers["Upgrade"]) == (426, "websocket")
        assert (await response.json())["code"] == "websocket_required"


async def test_another_tenants_events_are_not_shown(
    customer: Customer, stranger: Customer, projects: FakeProjects, db: Database
) -> None:
    call_id = new_id()
    await happen(db, projects.tenant, subject=call_id)
    await all_numbered(db)
    assert (await pages(stranger, f"&call_id={call_id}"))[0] == []


async def test_too_many_streams_are_refused(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 1)
    async with stream(customer):
        status, answer = await customer.ask("GET", "/events")
        assert (status, answer["code"]) == (503, "too_many_streams")
        with pytest.raises(WSServerHandshakeError):
            async with customer.websocket("/events/ws"):
                pass


async def test_several_processes_number_each_event_once(db: Database) -> None:
    added = [await happen(db, str(number % 3)) for number in range(60)]

    async def process() -> int:
        """Tries again while another one is at it."""
        mine = 0
        while await repository.head(db) < len(added):
            mine += await repository.number(db, 7)
        return mine

    assert sum(await asyncio.gather(*(process() for _ in range(8)))) == len(added)
    found = await repository.of_tenants(db, ["0", "1", "2"], 0, await repository.head(db), 100)
    assert [item.number for item in found] == list(range(1, 61))
    assert [item.event.id for item in found] == added


async def test_a_deleted_event_leaves_the_feed(db: Database) -> None:
    await happen(db, "t")
    await repository.number(db, 10)
    await db.execute("DELETE FROM outbox")
    assert await db.fetchval("SELECT count(*) FROM feed") == 0
    await happen(db, "t")
    await repository.number(db, 10)
    assert await repository.head(db) == 2
