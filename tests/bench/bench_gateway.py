"""The gateway with everything on, beside nginx with `auth_request` and a gateway written with FastAPI and httpx.

`python -m tests.bench.bench_gateway` prints requests a second at full load, latencies at 30 % of that, and the memory
of 10 000 idle event streams. Each program is a process of its own; CPU time is counted for each, because wall clock
depends on what else the machine does. What is not installed (nginx, the `bench` extra) is left out.
"""

import asyncio
import importlib.util
import os
import resource
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import aiohttp
import psutil
import uvloop
from rich.console import Console

from deploy.local.system import ROOT
from tests.bench.load import Load, generate, http_request
from tests.bench.peers.service import API_KEY, access_token
from tests.bench.sections import Cell, Section, at_least, at_most, load_average, percentile

SECRET = "a secret of the benchmark, 32 bytes"
ROUNDS = 3
FULL_SECONDS = 2.0
PACED_SECONDS = 4.0
PACED_SHARE = 0.3
STREAMS = 10_000
NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 1000000;
  upstream service {{ server 127.0.0.1:{service}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    location = /health/ready {{ return 200; }}
    location / {{
      auth_request /check; proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
    location = /check {{
      internal; proxy_pass http://service/internal/check; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_pass_request_body off; proxy_set_header Content-Length "";
    }}
  }}
}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class Program:
    """A process and its children."""

    port: int
    pid: int

    @property
    def family(self) -> list[psutil.Process]:
        parent = psutil.Process(self.pid)
        return [parent, *parent.children()]

    def cpu_seconds(self) -> float:
        return float(sum(sum(process.cpu_times()[:2]) for process in self.family))

    def rss_mb(self) -> float:
        return float(sum(process.memory_info().rss for process in self.family)) / 2**20


@asynccontextmanager
async def started(*command: str, port: int, **environment: str) -> AsyncIterator[Program]:
    """A program of this benchmark, ready; terminated after the block."""
    with tempfile.TemporaryFile() as output:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=output, stderr=output, env={**os.environ, "PORT": str(port), **environment}
        )
        try:
            await _until_it_listens(port)
            yield Program(port, process.pid)
        finally:
            process.terminate()
            await process.wait()


async def _until_it_listens(port: int) -> None:
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(f"http://127.0.0.1:{port}/health/ready") as answer:
                    if answer.status in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}:
                        return
            await asyncio.sleep(0.05)


def _environment(service: Program) -> dict[str, str]:
    urls = dict.fromkeys(("AUTH_URL", "PROJECT_URL", "CALL_URL"), f"http://127.0.0.1:{service.port}")
    # Counted and never reached: all requests are those of one client.
    limits = dict.fromkeys(("LIMIT_IP", "LIMIT_USER", "LIMIT_KEY"), "1000000/1")
    return {**urls, **limits, "INTERNAL_TOKEN_SECRET": SECRET, "AMQP_URL": "", "DRAIN_SECONDS": "0"}


async def _programs(service: Program, stack: AsyncExitStack) -> dict[str, Program]:
    environment = _environment(service)
    port = free_port()
    programs = {
        "our gateway": await stack.enter_async_context(
            started(sys.executable, "-m", "gateway", port=port, **environment)
        )
    }
    if importlib.util.find_spec("fastapi") and importlib.util.find_spec("httptools"):
        command = (sys.executable, "-m", "tests.bench.peers.fastapi_gateway")
        programs["FastAPI and httpx"] = await stack.enter_async_context(
            started(*command, port=free_port(), **environment)
        )
    if nginx := shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        port, folder = free_port(), stack.enter_context(tempfile.TemporaryDirectory())
        config = Path(folder, "nginx.conf")
        await asyncio.to_thread(config.write_text, NGINX.format(folder=folder, port=port, service=service.port))
        programs["nginx, auth_request"] = await stack.enter_async_context(
            started(nginx, "-c", str(config), "-p", folder, port=port)
        )
    return programs


@dataclass
class Target:
    """One program with one kind of credentials, and what it did."""

    program: Program
    headers: dict[str, str]
    latencies_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    own_cpu: float = 0.0
    all_cpu: float = 0.0

    async def load(self, service: Program, seconds: float, per_second: float | None = None) -> None:
        request = http_request("GET", "/project?limit=8", self.headers)
        own, behind = self.program.cpu_seconds(), service.cpu_seconds()
        load = Load(port=self.program.port, request=request, seconds=seconds, per_second=per_second)
        measured = await generate(load)
        own = self.program.cpu_seconds() - own
        self.own_cpu += own
        self.all_cpu += own + (service.cpu_seconds() - behind if self.program is not service else 0.0)
        self.latencies_ms += measured.latencies_ms
        self.seconds += measured.seconds

    @property
    def per_second(self) -> float:
        return len(self.latencies_ms) / self.seconds


def _targets(service: Program, programs: dict[str, Program]) -> dict[str, Target]:
    token, key = {"Authorization": f"Bearer {access_token()}"}, {"x-api-key": API_KEY}
    targets = {"service direct": Target(service, {})}
    for name, program in programs.items():
        targets[f"{name}, access token"] = Target(program, token)
        targets[f"{name}, API key"] = Target(program, key)
    return targets


async def compare(service: Program, programs: dict[str, Program]) -> list[Section]:
    """Full load, then 30 % of what ours can do."""
    for target in _targets(service, programs).values():
        await target.load(service, 0.3)
    before, full = load_average(), _targets(service, programs)
    for _ in range(ROUNDS):
        for target in full.values():
            await target.load(service, FULL_SECONDS)
    ours = [target for target in full.values() if target.program is programs["our gateway"]]
    # Of a core that is its own: the programs share this machine's cores with the load.
    rate = PACED_SHARE * min(len(target.latencies_ms) / target.own_cpu for target in ours)
    paced_before, paced = load_average(), _targets(service, programs)
    for _ in range(ROUNDS):
        for name, target in paced.items():
            await target.load(service, PACED_SECONDS / ROUNDS, min(rate, full[name].per_second * 0.8))
    return [_full(full, before), _latencies(paced, rate, paced_before)]


def _full(targets: dict[str, Target], before: float) -> Section:
    rows: list[Sequence[Cell]] = []
    for name, target in targets.items():
        own = len(target.latencies_ms) / target.own_cpu
        bar = at_least(own, 3000) if name.startswith("our") else ""
        rows.append((name, target.per_second, own, bar, len(target.latencies_ms) / target.all_cpu))
    fastapi = targets.get("FastAPI and httpx, access token")
    notes = []
    if fastapi is not None:
        ratio = len(targets["our gateway, access token"].latencies_ms) / targets["our gateway, access token"].own_cpu
        ratio /= len(fastapi.latencies_ms) / fastapi.own_cpu
        notes.append(f"Ours beside FastAPI and httpx, a core: {ratio:.1f} x ({at_least(ratio, 3)}).")
    columns = ("", "requests/s", "a core of its own", "bar", "a core, with the service's share")
    return Section("Full load, 16 connections", columns, rows, before, notes)


def _latencies(targets: dict[str, Target], rate: float, before: float) -> Section:
    direct = targets["service direct"]
    rows: list[Sequence[Cell]] = []
    for name, target in targets.items():
        row: list[Cell] = [name]
        for percent, limit in ((50, 1.5), (99, 6.0)):
            value, base = (percentile(one.latencies_ms, percent) or 0.0 for one in (target, direct))
            added = None if target is direct else value - base
            row += [value, added, at_most(added, limit) if name.startswith("our") else ""]
        rows.append(row)
    columns = ("", "p50 ms", "added", "bar", "p99 ms", "added", "bar")
    notes = ("A program that can't do this rate gets 80 % of what it can.",)
    return Section(f"At {rate:.0f} requests/s, {PACED_SHARE:.0%} of what our gateway can", columns, rows, before, notes)


async def idle_streams(service: Program) -> Section:
    """10 000 event streams on two processes, because a process may have 20 000 files here and a stream needs two."""
    before = load_average()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    command = (sys.executable, "-m", "gateway")
    async with started(*command, port=free_port(), GATEWAY_PROCESSES="2", **_environment(service)) as program:
        idle = program.rss_mb()
        request = http_request("GET", "/events", {"Authorization": f"Bearer {access_token()}"})
        writers: list[asyncio.StreamWriter] = []
        for _ in range(STREAMS // 100):
            writers += await asyncio.gather(*(_open_stream(program.port, request) for _ in range(100)))
        busy, cpu = program.rss_mb(), program.cpu_seconds()
        await asyncio.sleep(2)
        cpu = (program.cpu_seconds() - cpu) / 2
        for writer in writers:
            writer.close()
        columns = ("event streams", "RSS MB, two processes", "KB a stream", "CPU while idle")
        rows: list[Sequence[Cell]] = [
            (0, idle, None, None),
            (len(writers), busy, (busy - idle) * 1024 / len(writers), f"{cpu:.1%}"),
        ]
        return Section("Idle event streams", columns, rows, before)


async def _open_stream(port: int, request: bytes) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await reader.readuntil(b": hello\n\n")
    return writer


async def peers(_rig: object = None) -> list[Section]:
    """About 110 s: the gateway alone, beside others."""
    async with AsyncExitStack() as stack:
        command = (sys.executable, "-m", "tests.bench.peers.service")
        service = await stack.enter_async_context(started(*command, port=free_port()))
        async with AsyncExitStack() as compared:
            sections = await compare(service, await _programs(service, compared))
        return [*sections, await idle_streams(service)]


def main() -> None:
    """Start the processes, measure, print the tables."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    for section in uvloop.run(peers()):
        console.print(section.table(), "")


if __name__ == "__main__":
    main()
