"""The gateway as processes of its own: several on one port, drained, killed and reloaded under load."""

import asyncio
import itertools
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Self

import aiohttp
import psutil
import pytest
from yarl import URL

from deploy.local.system import ROOT, free_port
from shared.testing.waiting import eventually

SECRET = "an internal secret of at least 32 bytes"
SERVICE = ("-m", "tests.integration.gateway.slow_service")


class Program:
    """A process of this test; `family` are its own children."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log

    @property
    def family(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 30)


Launch = Callable[..., Awaitable[Program]]


@pytest.fixture
async def launch(tmp_path: Path) -> AsyncIterator[Launch]:
    async with AsyncExitStack() as stack:
        numbers = itertools.count()

        async def start(*command: str, port: int | None = None, **environment: str) -> Program:
            port = port or free_port()
            log = tmp_path / f"{next(numbers)}.log"
            settings = {
                "PORT": str(port),
                "INTERNAL_TOKEN_SECRET": SECRET,
                "DRAIN_SECONDS": "15",
                "TMPDIR": str(tmp_path),
            }
            with log.open("wb") as output:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *command,
                    cwd=ROOT,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, **settings, **environment},
                )
            program = Program(process, f"http://127.0.0.1:{port}", log)
            stack.push_async_callback(_make_sure_it_ended, program)
            await eventually(lambda: _is_ready(program), 30)
            return program

        yield start


async def _make_sure_it_ended(program: Program) -> None:
    if program.process.returncode is None:
        await program.end()


async def _is_ready(program: Program) -> bool:
    assert program.process.returncode is None, program.log.read_text()
    try:
        async with aiohttp.ClientSession() as client, client.get(f"{program.url}/health/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def _gateway(launch: Launch, *services: str, **environment: str) -> Program:
    urls = dict.fromkeys(("AUTH_URL", "PROJECT_URL", "CALL_URL"), ",".join(services))
    limits = {"LIMIT_IP": "1000000/1", "LIMIT_AUTH": "1000000/1"}
    gateway = await launch("-m", "gateway", **{"AMQP_URL": "", **urls, **limits, **environment})
    if environment.get("GATEWAY_PROCESSES", "1") != "1":
        await _all_serve(gateway)
    return gateway


async def _all_serve(gateway: Program) -> None:
    """One of its processes is enough for it to be ready."""
    url = URL(gateway.url)
    pairs = [await asyncio.open_connection(url.host, url.port) for _ in range(30)]
    await eventually(lambda: all(_clients_of(pid, gateway.url) for pid in gateway.family))
    for _, writer in pairs:
        writer.close()


def _clients_of(pid: int, url: str) -> int:
    """How many clients are connected to a process."""
    connections = psutil.Process(pid).net_connections("tcp4")
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == URL(url).port for one in connections)


class Load:
    """So many clients that each send one request after the other, half of them on connections that they keep."""

    def __init__(self, url: str, clients: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self._url = url
        self._clients = clients
        self._is_over = False

    async def _client(self, number: int) -> None:
        connector = aiohttp.TCPConnector(force_close=number % 2 == 0)
        async with aiohttp.ClientSession(connector=connector) as session:
            while not self._is_over:
                self.outcomes[await self._ask(session)] += 1

    async def _ask(self, session: aiohttp.ClientSession) -> str:
        try:
            async with session.post(f"{self._url}/auth/login", json={"a": 1}) as answer:
                await answer.read()
                return str(answer.status)
        except aiohttp.ClientError as error:
            return repr(error)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(self._clients)]
        await eventually(lambda: self.outcomes.total() >= self._clients)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def some_more(self) -> None:
        """Wait until every client may have been answered twice."""
        goal = self.outcomes.total() + 2 * self._clients
        await eventually(lambda: self.outcomes.total() >= goal, 30)


@pytest.mark.timeout(180)
async def test_two_hundred_requests_in_flight_and_each_process_terminated_in_turn(launch: Launch) -> None:
    """Children of the gateway, then the instances of the service behind it, each of which comes back: 0 failed."""
    services = [await launch(*SERVICE) for _ in range(2)]
    gateway = await _gateway(launch, *(service.url for service in services), GATEWAY_PROCESSES="2")
    async with Load(gateway.url, 200) as load:
        for pid in gateway.family:
            os.kill(pid, signal.SIGTERM)
            await eventually(lambda pid=pid: pid not in gateway.family, 30)  # type: ignore[misc]
            await load.some_more()
        for service in services:
            assert await service.end() == 0
            await load.some_more()
            await launch(*SERVICE, port=int(service.url.rpartition(":")[2]))
            await load.some_more()
    assert set(load.outcomes) == {"200"}, load.outcomes
    assert len(gateway.family) == 2
    assert await gateway.end() == 0


async def test_connections_are_spread_and_limits_and_metrics_are_those_of_all_processes(launch: Launch) -> None:
    service = await launch(*SERVICE)
    gateway = await _gateway(launch, service.url, GATEWAY_PROCESSES="2", LIMIT_AUTH="60/3600")
    async with Load(gateway.url, 40) as load:
        await load.some_more()
        assert all(_clients_of(pid, gateway.url) for pid in gateway.family)
    assert 60 <= load.outcomes["200"] <= 62  # of two that count one subject at once, one may be lost
    async with aiohttp.ClientSession() as client, client.get(f"{gateway.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    counted = {
        line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("talkstack_http_requests_total")
    }
    assert sum(value for name, value in counted.items() if 'status="429"' in name) == load.outcomes["429"]


@pytest.mark.parametrize("processes", ["1", "2"])
async def test_metrics_have_a_port_of_their_own_that_strangers_need_not_reach(launch: Launch, processes: str) -> None:
    service, port = await launch(*SERVICE), free_port()
    gateway = await _gateway(launch, service.url, GATEWAY_PROCESSES=processes, METRICS_PORT=str(port))
    async with aiohttp.ClientSession() as client:
        async with client.get(f"http://127.0.0.1:{port}/metrics") as answer:
            assert (answer.status, "talkstack_http_requests_total" in await answer.text()) == (200, True)
        async with client.get(f"http://127.0.0.1:{port}/health/live") as answer:
            assert answer.status == 404
        async with client.get(f"{gateway.url}/metrics") as answer:
            assert (answer.status, "RateLimit" in answer.headers) == (404, True)
    assert await gateway.end() == 0


async def test_a_port_of_metrics_that_is_that_of_the_api_is_refused(launch: Launch) -> None:
    port = free_port()
    with pytest.raises(AssertionError, match="METRICS_PORT"):
        await _gateway(launch, "http://127.0.0.1:9", port=port, METRICS_PORT=str(port))


async def test_a_child_that_is_killed_is_replaced_at_once(launch: Launch) -> None:
    service = await launch(*SERVICE)
    gateway = await _gateway(launch, service.url, GATEWAY_PROCESSES="2")
    before = gateway.family
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    await eventually(lambda: len(gateway.family) == 2 and victim not in gateway.family, 5)
    async with Load(gateway.url, 20) as load:
        await load.some_more()
    assert set(load.outcomes) == {"200"}


async def test_children_do_not_outlive_their_parent(launch: Launch) -> None:
    service = await launch(*SERVICE)
    gateway = await _gateway(launch, service.url, GATEWAY_PROCESSES="2")
    children = [psutil.Process(pid) for pid in gateway.family]
    await gateway.end(signal.SIGKILL)
    gone, alive = await asyncio.to_thread(psutil.wait_procs, children, timeout=20)
    assert (len(gone), alive) == (2, [])


async def test_sighup_reads_limits_and_instances_again(launch: Launch, tmp_path: Path) -> None:
    service = await launch(*SERVICE)
    config = tmp_path / "gateway.toml"
    config.write_text('limit_auth = "7/60"\n')
    gateway = await _gateway(
        launch, "http://127.0.0.1:9", AUTH_URL=service.url, GATEWAY_PROCESSES="2", GATEWAY_CONFIG=str(config)
    )

    async def ask(path: str = "/auth/login") -> tuple[int, str]:
        async with aiohttp.ClientSession() as client, client.post(gateway.url + path) as answer:
            return answer.status, answer.headers["RateLimit-Policy"]

    async def reload(text: str, message: str) -> None:
        config.write_text(text)
        earlier = gateway.log.read_text().count(message)
        gateway.process.send_signal(signal.SIGHUP)
        await eventually(lambda: gateway.log.read_text().count(message) == earlier + 2)

    assert await ask() == (200, '"address";q=1000000;w=1, "auth";q=7;w=60')
    assert (await ask("/voices/1/preview.wav"))[0] == 503
    await reload(f'limit_auth = "9/60"\nproject_url = ["{service.url}"]\n', "config_reloaded")
    assert (await ask())[1].endswith('"auth";q=9;w=60')
    assert (await ask("/voices/1/preview.wav"))[0] == 404
    for wrong, said in {"limit_auth = 9": "limit_auth", "limit_typo = 1": "limit_typo", "= [": "gateway.toml"}.items():
        await reload(wrong, "config_refused")
        refusals = [line for line in gateway.log.read_text().splitlines() if "config_refused" in line]
        assert said in refusals[-1]
        assert (await ask())[1].endswith('"auth";q=9;w=60')


async def test_a_config_that_is_wrong_at_the_start_is_named(launch: Launch, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('auth_url = "nonsense"\n')
    url = "http://127.0.0.1:9"
    for processes in ("1", "2"):
        with pytest.raises(AssertionError, match="auth_url"):
            await _gateway(launch, url, GATEWAY_PROCESSES=processes, GATEWAY_CONFIG=str(config))
