"""The SIP messages of a call, kept with it and read through the API."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from call_service.app import build_app
from call_service.settings import CallApiSettings
from shared.db import Database
from shared.ids import new_id
from shared.memory_bus import InMemoryBus
from shared.testing.waiting import eventually
from tests.integration.sip.conftest import MakePhone, trunk
from tests.integration.sip.test_sip_agent_answers import add_trunk
from tests.support.calls import SECRET, Customer
from tests.support.sip_peers import Sipp, free_port, running
from tests.support.workers import Switchboard, queue, read, working


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.connect(database_url, "calls", max_size=4)
    yield database
    await database.close()


@pytest.fixture
async def customers(db: Database, database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Customer, Customer]]:
    """Two users of one API process."""
    settings = CallApiSettings(
        database_url=database_url,
        internal_token_secret=SECRET,
        encryption_key=SECRET,
        recordings_dir=tmp_path / "recordings",
    )
    async with TestClient(TestServer(build_app(settings, InMemoryBus()))) as client:
        yield Customer(client, new_id()), Customer(client, new_id())


async def completed(db: Database, call_id: str) -> None:
    async def is_complete() -> bool:
        return (await read(db, call_id)).completed_at is not None

    await eventually(is_complete, 30)


async def test_the_messages_of_a_call_are_shown_and_downloaded(
    make_phone: MakePhone, sipp: Sipp, db: Database, customers: tuple[Customer, Customer], tmp_path: Path
) -> None:
    customer, stranger = customers
    port = free_port()
    trunk_id = await add_trunk(db, customer.tenant)
    await db.execute(
        "INSERT INTO trunk_numbers (tenant, number, trunk_id) VALUES ($1, '+12025550199', $2)",
        customer.tenant,
        trunk_id,
    )
    phone = await make_phone(trunk(port, name=trunk_id, username="us", password="secret"))
    async with working(db, phone.carrier, tmp_path), sipp.run("uas_digest", port):
        call_id = await queue(db, tenant=customer.tenant, silenceTimeoutSeconds=1)

        async def talks() -> bool:
            return (await read(db, call_id)).answered_at is not None

        await eventually(talks, 20)
        assert _code(await customer.ask("GET", f"/call/{call_id}/sip")) == (409, "call_not_ended")
        await customer.ask("POST", f"/call/{call_id}/end")
        await completed(db, call_id)
    status, ladder = await customer.ask("GET", f"/call/{call_id}/sip")
    assert (status, ladder["call_id"]) == (200, call_id)
    shown = [(message["direction"], message["method"], message["status"]) for message in ladder["messages"]]
    assert shown[0] == ("sent", "INVITE", None)
    assert ("received", "INVITE", 401) in shown
    assert shown[-2:] == [("sent", "BYE", None), ("received", "BYE", 200)]
    assert {message["peer"] for message in ladder["messages"]} == {f"127.0.0.1:{port}"}
    assert "response=" not in str(ladder)
    async with customer.open("GET", f"/call/{call_id}/pcap") as answer:
        assert answer.headers["Content-Type"] == "application/vnd.tcpdump.pcap"
        (tmp_path / "call.pcap").write_bytes(await answer.read())
    async with running(["tcpdump", "-n", "-A", "-r", str(tmp_path / "call.pcap")], tmp_path / "tcpdump.log") as reader:
        assert await reader.ends() == 0
    assert "BYE sip:" in reader.output
    for path in ("sip", "pcap"):
        assert _code(await stranger.ask("GET", f"/call/{call_id}/{path}")) == (404, "call_not_found")


async def test_a_call_without_sip_has_no_messages(
    db: Database, customers: tuple[Customer, Customer], tmp_path: Path
) -> None:
    customer, _ = customers
    switchboard = Switchboard(answers=0)
    async with working(db, switchboard, tmp_path):
        call_id = await queue(db, tenant=customer.tenant, silenceTimeoutSeconds=1)
        await eventually(lambda: _has(switchboard, call_id))
        await switchboard.close()
        await completed(db, call_id)
    assert _code(await customer.ask("GET", f"/call/{call_id}/sip")) == (404, "sip_messages_not_found")


async def _has(switchboard: Switchboard, call_id: str) -> bool:
    return call_id in switchboard.legs


def _code(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["code"]
