"""`make doctor` at a whole stack: healthy, and with one hop broken at a time, which it names."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from deploy.local.stack import Stack
from deploy.local.state import ProcessRecord, State, this_process, write_state
from deploy.local.system import ROOT
from shared.testing.waiting import eventually
from tests.integration.sip.test_sip_kamailio import kamailio
from tests.support.customers import Customer, sign_up
from tests.support.sip_peers import LOOPBACK, free_port

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

SERVICES = ["auth-api", "project-api", "project-webhooks", "call-api", "gateway"]
HOPS = ["stack", "settings", "postgres", "rabbitmq", "migrations", *SERVICES, "call-worker", "speech", "sip-ports"]
HOPS += ["sip-call", "trunks"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory, rabbitmq_server: str) -> AsyncIterator[Stack]:
    """Every service, with a Postgres of its own."""
    settings = {"DATABASE_URL": "", "AMQP_URL": rabbitmq_server, "SIP_PORT": str(free_port()), "DRAIN_SECONDS": "5"}
    async with await Stack.start(tmp_path_factory.mktemp("doctor"), extra_env=settings) as running:
        yield running
        running.at_once.set()


@pytest_asyncio.fixture(loop_scope="module")
async def customer(stack: Stack) -> AsyncIterator[Customer]:
    async with aiohttp.ClientSession() as session:
        yield await sign_up(stack, session)


def record(stack: Stack, name: str) -> ProcessRecord:
    keeper = stack.keepers[name]
    return ProcessRecord(name=name, pid=keeper.running.pid, started=keeper.running.started, port=keeper.unit.port)


async def doctor(var: Path, *arguments: str, **env: str) -> tuple[int, dict[str, Any]]:
    """Its exit status and report. What names a deployment in our own environment is left out."""
    hidden = {"DATABASE_URL", "AMQP_URL", "TALKSTACK_URL", "TALKSTACK_API_KEY"}
    own = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, "-m", "deploy.doctor", "--json", "--var", str(var), *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env={**own, **env}, capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


async def examined(stack: Stack, **env: str) -> tuple[int, dict[str, Any]]:
    """The doctor's word on the running stack, as `make up` would have written it down."""
    records = tuple(record(stack, name) for name in stack.keepers)
    write_state(stack.var, State(supervisor=this_process("test"), url=stack.url(), phase="ready", processes=records))
    return await doctor(stack.var, **env)


def states(report: dict[str, Any]) -> dict[str, str]:
    return {hop["hop"]: hop["state"] for hop in report["hops"]}


def found(report: dict[str, Any], hop: str) -> dict[str, Any]:
    return next(one for one in report["hops"] if one["hop"] == hop)


async def test_in_a_healthy_stack_every_hop_works(stack: Stack) -> None:
    status, report = await examined(stack)
    assert states(report) == {**dict.fromkeys(HOPS, "ok"), "trunks": "skipped"}, report
    assert (status, report["ok"], report["broken"]) == (0, True, None)
    assert "40 of 40 slots" in found(report, "call-worker")["detail"]
    assert "hursday" in found(report, "speech")["detail"]
    assert "TALKSTACK_API_KEY" in found(report, "trunks")["detail"]
    assert not any(secret.read_text() in str(report) for secret in (stack.var / "secrets").iterdir())


async def test_postgres_that_is_down_is_named_before_what_follows_from_it(stack: Stack) -> None:
    await stack.stop_one("postgres")
    try:
        status, report = await examined(stack)
    finally:
        await stack.start_one("postgres")
    assert (status, report["broken"]) == (1, "postgres")
    told = states(report)
    assert told["migrations"] == "skipped"
    assert told["call-api"] == told["auth-api"] == "broken"
    assert "database: " in found(report, "call-api")["detail"]
    assert (told["rabbitmq"], told["speech"], told["sip-call"]) == ("ok", "ok", "ok")


async def test_a_dead_worker_is_named(stack: Stack) -> None:
    await stack.stop_one("call-worker")
    try:
        status, report = await examined(stack)
    finally:
        await stack.start_one("call-worker")
    assert status == 1
    assert [hop for hop, state in states(report).items() if state == "broken"] == ["call-worker"]
    assert "nothing answers" in found(report, "call-worker")["detail"]
    assert "NAME=call-worker" in found(report, "call-worker")["hint"]


async def test_a_schema_behind_the_code_is_named(stack: Stack) -> None:
    connection = await asyncpg.connect(stack.dsns["projects"])
    try:
        head = await connection.fetchval("SELECT version_num FROM projects.alembic_version")
        await connection.execute("UPDATE projects.alembic_version SET version_num = '0001'")
        status, report = await examined(stack)
        await connection.execute("UPDATE projects.alembic_version SET version_num = $1", head)
    finally:
        await connection.close()
    assert (status, report["broken"]) == (1, "migrations")
    assert f"projects is at 0001, the code wants {head}" in found(report, "migrations")["detail"]
    assert "python -m project_service migrate" in found(report, "migrations")["hint"]


async def test_trunks_are_tested_and_a_wrong_password_is_named(
    stack: Stack, customer: Customer, tmp_path: Path
) -> None:
    made = await customer.api.ask("POST", "/user/api-keys", {"name": "doctor", "scopes": ["calls:read", "calls:write"]})
    async with kamailio(tmp_path, "SHA-256") as proxy:
        body = {"host": LOOPBACK, "port": proxy.port, "username": "us", "register": True}
        await customer.api.ask("POST", "/trunk", {**body, "name": "wrong", "password": "not that"})
        await customer.api.ask("POST", "/trunk", {**body, "name": "right", "password": "secret"})
        worker_port = int(stack.keepers["call-worker"].unit.env["SIP_PORT"])
        await eventually(lambda: is_taken(worker_port), 15)
        status, report = await examined(stack, TALKSTACK_API_KEY=made["key"])
    assert (status, report["broken"]) == (1, "trunk wrong"), report
    told = states(report)
    assert [hop for hop, state in told.items() if state == "broken"] == ["trunk wrong"]
    assert (told["trunks"], told["trunk right"]) == ("ok", "ok")
    assert "registration: 200" in found(report, "trunk right")["detail"]
    assert found(report, "trunk wrong")["detail"].startswith("registration: 401")
    assert "username, password or realm" in found(report, "trunk wrong")["hint"]
    assert "is the worker's (pid" in found(report, "sip-ports")["detail"]
    assert "not that" not in str(report)


async def test_another_deployment_is_found_by_its_environment(stack: Stack, tmp_path: Path) -> None:
    """As in a worker's container: the worker's own settings, and the URLs of the others."""
    unit = stack.keepers["call-worker"].unit
    urls = {"TALKSTACK_URL": stack.url(), "AUTH_URL": stack.url("auth-api")}
    status, report = await doctor(tmp_path, **{**unit.env, **urls})
    told = states(report)
    assert status == 0, report
    assert (told["postgres"], told["migrations"], told["call-worker"], told["auth-api"]) == ("ok", "ok", "ok", "ok")
    assert (told["gateway"], told["project-webhooks"]) == ("ok", "skipped")
    assert "calls" in found(report, "migrations")["detail"]
    assert "auth" not in found(report, "migrations")["detail"]


async def test_a_key_that_is_refused_is_named(stack: Stack) -> None:
    status, report = await examined(stack, TALKSTACK_API_KEY="tk_wrong")
    assert (status, report["broken"]) == (1, "trunks")
    assert "401" in found(report, "trunks")["detail"]
    assert "tk_wrong" not in str(report)


async def test_without_a_stack_what_is_on_this_machine_is_still_asked(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((LOOPBACK, 0))
        port = other.getsockname()[1]
        status, report = await doctor(tmp_path, SIP_PORT=str(port), RTP_LAST_PORT="20009", WORKER_MAX_CALLS="none")
    assert (status, report["broken"]) == (1, "stack")
    told = states(report)
    assert told["settings"] == "broken"
    assert "call-worker: WORKER_MAX_CALLS" in found(report, "settings")["detail"]
    assert (told["postgres"], told["gateway"], told["speech"], told["sip-call"]) == ("skipped", "skipped", "ok", "ok")


def is_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False
