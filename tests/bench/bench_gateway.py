"""The gateway with everything on, beside the same requests sent to the service direct.

`python tests/bench/bench_gateway.py` prints requests a second at full load (by wall clock, and by the gateway's own CPU
time, which does not depend on what else the machine does), then latencies at 30 % of that load. The load generator,
the service and the gateway are processes of their own.
"""

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import IO

import aiohttp
import jwt
import psutil
import uvloop
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from rich.console import Console
from rich.table import Table

SECRET = "a secret of the benchmark, 32 bytes"
CONNECTIONS = 16
REQUESTS = 12_000
PACED_SECONDS = 4.0
# Derived from fixed bytes, so that the service and the load generator agree on it.
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
API_KEY = "tk_live_0123456789abcdefghij"
PROJECTS = [{"id": f"0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e{n:02}", "name": f"Project {n}"} for n in range(8)]


def access_token() -> str:
    """What auth_service would sign."""
    claims = {
        "iss": "talkstack",
        "aud": "talkstack-api",
        "sub": "0192f0c1-3333-7c44-9f3e-1b2a4c5d6e7f",
        "sid": "0192f0c1-4444-7c44-9f3e-1b2a4c5d6e7f",
        "jti": "0192f0c1-5555-7c44-9f3e-1b2a4c5d6e7f",
        "scope": "*",
        "exp": datetime.now(UTC) + timedelta(hours=2),
    }
    return jwt.encode(claims, KEY, algorithm="EdDSA", headers={"typ": "at+jwt", "kid": "bench"})


async def serve() -> None:
    """The services behind the gateway; prints its port."""

    async def projects(_request: web.Request) -> web.Response:
        return web.json_response({"message": "ok", "status": "success", "data": PROJECTS})

    async def jwks(_request: web.Request) -> web.Response:
        return web.json_response({"keys": [OKPAlgorithm.to_jwk(KEY.public_key(), as_dict=True) | {"kid": "bench"}]})

    async def verify(_request: web.Request) -> web.Response:
        return web.json_response({"user_id": "u", "key_id": "k", "scopes": ["*"], "expires_at": None})

    async def openapi(_request: web.Request) -> web.Response:
        operations = {"get": {"operationId": "list_projects"}}
        return web.json_response(
            {"paths": {"/project": operations}, "components": {"schemas": {}, "securitySchemes": {}}}
        )

    app = web.Application()
    app.router.add_get("/project", projects)
    app.router.add_get("/.well-known/jwks.json", jwks)
    app.router.add_post("/internal/api-keys/verify", verify)
    app.router.add_get("/openapi.json", openapi)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


@contextmanager
def started(command: list[str], output: int | IO[bytes], **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of this benchmark, terminated after the block."""
    process = subprocess.Popen([sys.executable, *command], stdout=output, env={**os.environ, **environment})
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=40)
        if process.stdout is not None:
            process.stdout.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Target:
    """Where a load goes, and whose CPU time is counted."""

    port: int
    pid: int
    credential: str

    @property
    def request(self) -> bytes:
        lines = ("GET /project?limit=8 HTTP/1.1", "Host: bench", "Accept: */*", "User-Agent: bench", self.credential)
        return "\r\n".join((*lines, "", "")).encode()

    def cpu_seconds(self) -> float:
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


class Client:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._request = request

    @classmethod
    async def connect(cls, target: Target) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", target.port), target.request)

    async def ask(self) -> float:
        """Send one request and read the whole answer; the seconds that took."""
        began = time.perf_counter()
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(head.decode())
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await self._reader.readexactly(int(length))
        return time.perf_counter() - began

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def full_load(target: Target) -> tuple[float, float]:
    """Requests a second by wall clock, and by CPU second of the target."""
    clients = [await Client.connect(target) for _ in range(CONNECTIONS)]

    async def hammer(client: Client) -> None:
        for _ in range(REQUESTS // CONNECTIONS):
            await client.ask()

    cpu, began = target.cpu_seconds(), time.perf_counter()
    await asyncio.gather(*map(hammer, clients))
    wall, cpu = time.perf_counter() - began, target.cpu_seconds() - cpu
    for client in clients:
        await client.close()
    return REQUESTS / wall, REQUESTS / cpu


async def paced_load(target: Target, per_second: float) -> list[float]:
    """Latencies in seconds at a steady rate, each connection taking its share."""
    clients = [await Client.connect(target) for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    latencies: list[float] = []

    async def pace(client: Client, offset: float) -> None:
        due = began + offset
        while due < began + PACED_SECONDS:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            latencies.append(await client.ask())
            due += CONNECTIONS / per_second

    await asyncio.gather(*(pace(client, number / per_second) for number, client in enumerate(clients)))
    for client in clients:
        await client.close()
    return latencies


def percentile_ms(seconds: list[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100)[percent - 1] * 1000


async def measure(direct: Target, gateway: dict[str, Target]) -> None:
    table = Table("", "requests/s", "requests/s a core", "of direct", title="Full load")
    direct_rate, direct_a_core = await full_load(direct)
    table.add_row("service direct", f"{direct_rate:.0f}", f"{direct_a_core:.0f}", "")
    rates = []
    for name, target in gateway.items():
        await full_load(target)
        rate, a_core = await full_load(target)
        rates.append(a_core)
        table.add_row(f"gateway, {name}", f"{rate:.0f}", f"{a_core:.0f}", f"{rate / direct_rate:.2f}")
    paced = min(rates) * 0.3
    latency = Table("", "p50 ms", "p99 ms", title=f"At 30 % of that: {paced:.0f} requests/s")
    for name, target in {"service direct": direct, **gateway}.items():
        seconds = await paced_load(target, paced)
        latency.add_row(name, f"{percentile_ms(seconds, 50):.2f}", f"{percentile_ms(seconds, 99):.2f}")
    console = Console()
    console.print(table, latency)


async def until_ready(port: int) -> None:
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(f"http://127.0.0.1:{port}/health/ready") as answer:
                    if answer.status == HTTPStatus.OK:
                        return
            await asyncio.sleep(0.05)


def main() -> None:
    """Start the processes, measure, print the tables."""
    with ExitStack() as stack:
        service = stack.enter_context(started([__file__, "serve"], subprocess.PIPE))
        assert service.stdout is not None
        service_port = int(service.stdout.readline())
        url = f"http://127.0.0.1:{service_port}"
        port = free_port()
        gateway = stack.enter_context(
            started(
                ["-m", "gateway"],
                stack.enter_context(tempfile.TemporaryFile()),
                **dict.fromkeys(("AUTH_URL", "PROJECT_URL", "CALL_URL"), url),
                INTERNAL_TOKEN_SECRET=SECRET,
                PORT=str(port),
                AMQP_URL="",
            )
        )
        credentials = {"access token": f"Authorization: Bearer {access_token()}", "API key": f"x-api-key: {API_KEY}"}
        targets = {name: Target(port, gateway.pid, credential) for name, credential in credentials.items()}

        async def run() -> None:
            await until_ready(port)
            await measure(Target(service_port, service.pid, "X-None: 0"), targets)

        uvloop.run(run())


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        uvloop.run(serve())
    else:
        main()
