"""What `make doctor` says of ports, of the call it places, and of trunks by an API that answers what the test wants."""

import os
import socket
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.doctor.hops import Finding, Hop, examine, look_at
from deploy.doctor.loop_call import loop_call
from deploy.doctor.sip_ports import sip_ports
from deploy.doctor.site import Process, Site
from deploy.doctor.trunks import Trunks
from tests.support.sip_peers import LOOPBACK, free_port

SECRET = "-" * 32
WORKER = {"INTERNAL_TOKEN_SECRET": SECRET, "ENCRYPTION_KEY": SECRET, "DATABASE_URL": "postgresql://127.0.0.1/none"}


def site(url: str = "", pid: int | None = None, **env: str) -> Site:
    return Site("a site", url, "a key", (Process("call-worker", {**WORKER, **env}, pid=pid),))


async def ports_of(pid: int | None = None, **env: str) -> Finding:
    return await look_at(Hop("sip-ports", partial(sip_ports, site(pid=pid, **env))))


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "tcp"])
async def test_a_sip_port_that_another_program_holds_is_named_with_its_owner(kind: socket.SocketKind) -> None:
    port = free_port()
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind((LOOPBACK, port))
        if kind == socket.SOCK_STREAM:
            other.listen()
        told = await ports_of(SIP_PORT=str(port))
        assert told.state == "broken"
        assert f"SIP_PORT {port}" in told.detail
        assert f"(pid {os.getpid()})" in told.detail
        assert "another SIP_PORT" in told.hint
        assert (await ports_of(os.getpid(), SIP_PORT=str(port))).state == "ok"  # it is the worker itself


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"RTP_FIRST_PORT": "20000", "RTP_LAST_PORT": "20009"}, "enough for 5 calls only"),
        ({"SIP_ADDRESS": "192.0.2.1"}, "192.0.2.1 is no address of this machine"),
        ({"SIP_ADDRESS": "0.0.0.0"}, "send audio to 0.0.0.0"),
    ],
    ids=["few ports", "foreign address", "no advertised address"],
)
async def test_ports_and_addresses_that_do_not_work_are_named(env: dict[str, str], words: str) -> None:
    told = await ports_of(**{"SIP_PORT": "0", **env})
    assert (told.state, words in told.detail, bool(told.hint)) == ("broken", True, True), told


async def test_the_call_on_this_machine_compares_audio_both_ways() -> None:
    told = await look_at(Hop("sip-call", partial(loop_call, range(20_000, 20_040))))
    assert told.state == "ok", told
    assert "(0 lost)" in told.detail


async def test_a_call_without_ports_for_its_audio_is_broken() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((LOOPBACK, 0))
        port = other.getsockname()[1] & ~1
        told = await look_at(Hop("sip-call", partial(loop_call, range(port, port + 2))))
    assert told.state == "broken"
    assert "No media port is free" in told.detail


class FakeApi:
    """Lists `trunks`, one a page; tests of them go as `tests` says: an answer to POST, then answers to GET."""

    def __init__(self) -> None:
        self.trunks: list[dict[str, Any]] = []
        self.tests: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self.bodies: list[Any] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/trunk", self._list)
        app.router.add_post("/trunk/{id}/test", self._test)
        app.router.add_get("/trunk/{id}/test/{test}", self._test)
        return app

    async def _list(self, request: web.Request) -> web.Response:
        if request.headers.get("x-api-key") != "a key":
            return web.json_response({"message": "Who are you?", "code": "unauthorized"}, status=401)
        at = int(request.query.get("cursor", "0"))
        more = str(at + 1) if at + 1 < len(self.trunks) else None
        return web.json_response({"data": self.trunks[at : at + 1], "next_cursor": more})

    async def _test(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            self.bodies.append(await request.json())
        status, answer = self.tests[request.match_info["id"]].pop(0)
        return web.json_response(answer, status=status)


@pytest.fixture
async def api() -> AsyncIterator[tuple[FakeApi, str]]:
    fake = FakeApi()
    server = TestServer(fake.app())
    await server.start_server()
    yield fake, str(server.make_url("")).rstrip("/")
    await server.close()


async def asked(place: Site, number: str = "") -> dict[str, Finding]:
    async with aiohttp.ClientSession() as session:
        hops = await Trunks(session, place, number).hops()
        return {finding.hop: finding async for finding in examine(hops)}


def test_of(status: str, *steps: tuple[str, bool, str]) -> tuple[int, dict[str, Any]]:
    found = [{"name": name, "ok": ok, "detail": detail, "ms": 1} for name, ok, detail in steps]
    return 202, {"id": "t", "status": status, "steps": found}


test_of.__test__ = False  # type: ignore[attr-defined] # it is none


async def test_each_trunk_is_tested_and_its_broken_step_named(api: tuple[FakeApi, str]) -> None:
    fake, url = api
    fake.trunks = [{"id": name, "name": name, "host": LOOPBACK} for name in ("good", "bad", "late", "busy")]
    fake.tests = {
        "good": [test_of("waiting"), test_of("running", ("dns", True, "x")), test_of("passed", ("dns", True, "x"))],
        "bad": [test_of("failed", ("dns", True, "x"), ("invite", False, "403 declined"))],
        "late": [test_of("expired")],
        "busy": [(409, {"code": "trunk_test_running", "message": "A test of this trunk is running."})],
    }
    told = await asked(site(url), "+12025550100")
    assert list(told) == ["sip-address", "trunk good", "trunk bad", "trunk late", "trunk busy"]
    assert (told["trunk good"].state, told["trunk good"].detail) == ("ok", "dns: x")
    assert (told["trunk bad"].state, told["trunk bad"].detail) == ("broken", "invite: 403 declined")
    assert "caller id isn't allowed" in told["trunk bad"].hint
    assert (told["trunk late"].state, told["trunk late"].detail) == ("broken", "no worker took the test")
    assert told["trunk busy"].state == "skipped"
    assert fake.bodies == [{"number": "+12025550100"}] * 4


@pytest.mark.parametrize(
    ("env", "host", "state"),
    [
        ({}, "8.8.8.8", "broken"),
        ({"SIP_ADVERTISED_ADDRESS": "8.8.4.4"}, "8.8.8.8", "ok"),
        ({}, "10.0.0.7", "ok"),
    ],
    ids=["private to the internet", "advertised", "private to private"],
)
async def test_a_trunk_on_the_internet_must_be_told_an_address_there(
    api: tuple[FakeApi, str], env: dict[str, str], host: str, state: str
) -> None:
    fake, url = api
    fake.trunks = [{"id": "one", "name": "one", "host": host}]
    fake.tests = {"one": [test_of("passed", ("dns", True, "x"))]}
    told = await asked(site(url, SIP_ADDRESS="10.0.0.1", **env))
    assert told["sip-address"].state == state
    assert ("SIP_ADVERTISED_ADDRESS" in told["sip-address"].hint) is (state == "broken")
