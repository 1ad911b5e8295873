"""From a trunk made over the API to a call through it: API process, worker, and peers that nobody of ours wrote."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from call_service.app import build_app as build_api
from call_service.dialer.app import build_app as build_worker
from call_service.settings import CallApiSettings, WorkerSettings
from shared.db import Database
from shared.memory_bus import InMemoryBus
from shared.testing.waiting import eventually
from tests.integration.sip.test_sip_kamailio import kamailio
from tests.support.calls import SECRET, Customer, FakeProjects, agent
from tests.support.certificates import write_certificates
from tests.support.sip_peers import LOOPBACK, Sipp, free_port
from tests.support.workers import events_of, read

NUMBER, CALLEE = "+12025550199", "+12025550100"
SETTINGS: dict[str, Any] = {"internal_token_secret": SECRET, "encryption_key": SECRET, "trunk_allow_private": True}


@dataclass
class Company:
    """A customer of the API; `place` makes a call and waits until everything about it is in."""

    customer: Customer
    db: Database
    project_id: str

    async def add_trunk(self, port: int, **changes: Any) -> dict[str, Any]:
        body = {"name": "main", "host": LOOPBACK, "port": port, "numbers": [NUMBER], "callsPerSecond": 100, **changes}
        status, trunk = await self.customer.ask("POST", "/trunk", body)
        assert status == 201, trunk
        return dict(trunk)

    async def place(self) -> Any:
        body = {"number": CALLEE, "projectId": self.project_id}
        status, answer = await self.customer.ask("POST", "/call/makeCall", body)
        assert status == 200, answer
        call_id = answer["call"]["call_id"]

        async def is_complete() -> bool:
            return (await read(self.db, call_id)).completed_at is not None

        await eventually(is_complete, 40)
        return await read(self.db, call_id)

    async def tested(self, trunk_id: str, **body: str) -> dict[str, Any]:
        status, asked = await self.customer.ask("POST", f"/trunk/{trunk_id}/test", body)
        assert (status, asked["status"]) == (202, "waiting")
        path, found = f"/trunk/{trunk_id}/test/{asked['id']}", dict(asked)

        async def is_over() -> bool:
            found.update((await self.customer.ask("GET", path))[1])
            return found["status"] not in {"waiting", "running"}

        await eventually(is_over, 60)
        return found

    async def sees(self, trunk_id: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        found: dict[str, Any] = {}

        async def holds() -> bool:
            found.update((await self.customer.ask("GET", f"/trunk/{trunk_id}"))[1])
            return condition(found)

        await eventually(holds, 20)
        return found


@pytest.fixture
async def serve(database_url: str, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    db = await Database.connect(database_url, "calls", max_size=4)
    folder: dict[str, Any] = {"recordings_dir": tmp_path / "recordings"}

    @asynccontextmanager
    async def serve(**changes: Any) -> AsyncIterator[Company]:
        fake = FakeProjects(from_number=NUMBER, agent=agent(silenceTimeoutSeconds=2))
        async with TestServer(fake.app()) as projects:
            urls: dict[str, Any] = {"database_url": database_url, "project_url": str(projects.make_url("/"))}
            ports: dict[str, Any] = {
                "sip_port": 0,
                "sip_tls_port": 0,
                "rtp_first_port": 24_000,
                "rtp_last_port": 24_099,
            }
            api = build_api(CallApiSettings(**SETTINGS, **urls, **folder), InMemoryBus())
            worker = WorkerSettings(**{**SETTINGS, **urls, **folder, **ports, "engines": "null", **changes})
            client: TestClient[web.Request, web.Application] = TestClient(TestServer(api))
            async with client, TestServer(build_worker(worker)):
                yield Company(Customer(client, fake.tenant), db, fake.project_id)

    yield serve
    await db.close()


Serve = Callable[..., Any]


ACCOUNT: dict[str, Any] = {"username": "us", "password": "secret", "register": True}


async def test_a_call_goes_by_the_trunk_of_the_number_it_comes_from(serve: Serve, sipp: Sipp, tmp_path: Path) -> None:
    async with kamailio(tmp_path, "MD5") as proxy, serve() as company, sipp.run("uas_hangs_up", proxy.callee):
        trunk = await company.add_trunk(proxy.port, **ACCOUNT)
        call = await company.place()
        shown = (await company.customer.ask("POST", "/call", {"sid": call.id, "projectId": call.project_id}))[1]
    assert (call.status, call.reason) == ("completed", "callee_hung_up")
    assert (shown["trunk_id"], shown["sip_code"]) == (trunk["id"], None)
    types = await events_of(company.db, call.id)
    assert types[:5] == ["call.queued", "call.initiated", "call.ringing", "call.answered", "call.ended"]
    assert call.recording
    assert await company.db.fetchval("SELECT carrier FROM calls WHERE id = $1", call.id) == "sip"


async def test_a_busy_callee_keeps_its_sip_code(serve: Serve, sipp: Sipp, tmp_path: Path) -> None:
    async with kamailio(tmp_path, "MD5") as proxy, serve() as company:
        await company.add_trunk(proxy.port, **ACCOUNT)
        async with sipp.run("uas_reject", proxy.callee, status="486"):
            call = await company.place()
    assert (call.status, call.reason, call.sip_code) == ("busy", "callee_busy", 486)


async def test_a_number_without_a_trunk_calls_nobody_where_there_is_no_other_carrier(serve: Serve) -> None:
    async with serve(carrier="none") as company:
        call = await company.place()
    assert (call.status, call.reason, call.fault, call.trunk_id) == ("failed", "no_trunk", "tenant", None)


async def test_a_wrong_password_fails_calls_and_is_seen_at_the_trunk(serve: Serve, tmp_path: Path) -> None:
    async with kamailio(tmp_path, "MD5") as proxy, serve() as company:
        trunk = await company.add_trunk(proxy.port, **{**ACCOUNT, "password": "wrong"})
        seen = await company.sees(trunk["id"], lambda one: bool(one["workers"] and one["workers"][0]["last_error"]))
        assert (seen["health"], seen["workers"][0]["registered"]) in {("down", False), ("unknown", False)}
        assert seen["workers"][0]["last_error"].startswith("401")
        call = await company.place()
        assert (call.status, call.reason, call.fault) == ("failed", "carrier_auth_failed", "tenant")
        assert call.sip_code in {401, 407}
        test = await company.tested(trunk["id"])
    steps = {step["name"]: step for step in test["steps"]}
    assert test["status"] == "failed"
    assert (steps["dns"]["ok"], steps["transport"]["ok"], steps["registration"]["ok"]) == (True, True, False)
    assert steps["registration"]["detail"].startswith("401")


async def test_a_test_goes_through_every_step_and_hears_the_callee(serve: Serve, sipp: Sipp, tmp_path: Path) -> None:
    async with kamailio(tmp_path, "SHA-256") as proxy, serve(sip_ca_file=tmp_path / "ca.pem") as company:
        trunk = await company.add_trunk(proxy.tls_port, **ACCOUNT, transport="tls")
        await company.sees(trunk["id"], lambda one: one["health"] == "up" and one["workers"][0]["registered"])
        async with sipp.run("uas_answer", proxy.callee, "-rtp_echo"):
            test = await company.tested(trunk["id"], number=CALLEE)
    assert test["status"] == "passed", test
    wanted = ["dns", "transport", "tls", "registration", "options", "invite", "media"]
    assert [step["name"] for step in test["steps"]] == wanted
    assert await company.db.fetchval("SELECT count(*) FROM calls") == 0


async def test_a_test_names_the_certificate_that_is_not_believed(serve: Serve, tmp_path: Path) -> None:
    async with kamailio(tmp_path, "MD5") as proxy, serve() as company:
        trunk = await company.add_trunk(proxy.tls_port, transport="tls")
        test = await company.tested(trunk["id"])
    assert [(step["name"], step["ok"]) for step in test["steps"]] == [
        ("dns", True),
        ("transport", True),
        ("tls", False),
    ]
    assert "does not verify" in test["steps"][-1]["detail"]


async def test_calls_follow_a_trunk_that_is_changed_while_others_go_on(
    serve: Serve, sipp: Sipp, tmp_path: Path
) -> None:
    async with kamailio(tmp_path, "MD5") as proxy, serve() as company:
        trunk = await company.add_trunk(proxy.port, **ACCOUNT)
        async with sipp.run("uas_answer", proxy.callee, calls=2):
            first = asyncio.create_task(company.place())
            await company.sees(trunk["id"], lambda one: bool(one["workers"] and one["workers"][0]["calls"]))
            body = {"name": "main", "host": LOOPBACK, "port": proxy.port, "numbers": [NUMBER], "callsPerSecond": 100}
            body |= {"username": "us", "register": True, "transport": "tcp"}
            assert (await company.customer.ask("PUT", f"/trunk/{trunk['id']}", body))[0] == 200
            second = await company.place()
            calls = (await first, second)
        for call, transport in zip(calls, ("UDP", "TCP"), strict=True):
            assert (call.status, call.trunk_id) == ("silence", trunk["id"])
            messages = await company.db.fetchval("SELECT messages::text FROM call_sip WHERE call_id = $1", call.id)
            assert f"SIP/2.0/{transport} " in messages


async def test_a_trunk_may_connect_over_tls(serve: Serve, tmp_path: Path) -> None:
    write_certificates(tmp_path)
    port = free_port()
    files = {"sip_tls_certificate": tmp_path / "server.pem", "sip_tls_key": tmp_path / "server.key"}
    async with serve(**files, sip_tls_port=port) as company:
        await company.add_trunk(free_port(), allowedAddresses=["127.0.0.0/16"])

        async def answers() -> bool:
            command = f"openssl s_client -connect {LOOPBACK}:{port} -CAfile {tmp_path}/ca.pem -verify_return_error"
            nothing = asyncio.subprocess.DEVNULL
            process = await asyncio.create_subprocess_exec(
                *command.split(), stdin=nothing, stdout=nothing, stderr=nothing
            )
            return await process.wait() == 0

        await eventually(answers, 15)
