"""Requests: through the gateway with everything on, beside the same ones sent to the service directly."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import jwt

from deploy.local.keys import secret
from shared.clock import SystemClock
from shared.testing.waiting import eventually
from shared.tokens import HEADER, InternalTokens, Principal
from tests.bench.load import Load, generate, http_request
from tests.bench.rig import Rig
from tests.bench.sections import Cell, Section, at_least, at_most, load_average, percentile

ROUNDS = 3
FULL_SECONDS = 1.5
PACED_SHARE = 0.3
PACED_SECONDS = 1.5
MAKE_SECONDS = 0.6
BUSY = "+12025550101"
DRAINED_SECONDS = 90

Request = tuple[str, str, object]
"""Method, path and body."""


@dataclass
class Target:
    """Where requests go, and as whom. Headers are made anew for each load: internal tokens live for 30 s."""

    process: str
    headers: Callable[[], Mapping[str, str]]
    latencies_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Answers a second by wall clock."""
        return len(self.latencies_ms) / self.seconds

    @property
    def per_cpu_second(self) -> float:
        """Answers for each second of the process's own CPU time: what it would do with a core for itself."""
        return len(self.latencies_ms) / self.cpu_seconds

    async def load(self, rig: Rig, request: Request, seconds: float, **options: object) -> None:
        """Send the request for so long."""
        method, path, body = request
        wire = http_request(method, path, self.headers(), body)
        port = rig.stack.keepers[self.process].unit.port
        load = Load.model_validate({"port": port, "request": wire, "seconds": seconds, **options})
        cpu = rig.cpu_seconds(self.process)
        measured = await generate(load)
        self.cpu_seconds += rig.cpu_seconds(self.process) - cpu
        self.latencies_ms += measured.latencies_ms
        self.seconds += measured.seconds


async def targets(rig: Rig, service: str) -> dict[str, Target]:
    """The service itself first, then the gateway with both credentials."""
    api = rig.customer.api
    token = str(api.token)
    key = (await api.ask("GET", "/user/generate-apikey"))["apiKey"]
    user_id = jwt.decode(token, options={"verify_signature": False})["sub"]
    signer = InternalTokens(secret(rig.stack.var / "secrets", "internal-token"), "bench", SystemClock().now)
    return {
        "service direct": Target(service, lambda: {HEADER: signer.sign(Principal(user_id, "token", None, ("*",)))}),
        "gateway, access token": Target("gateway", lambda: {"Authorization": f"Bearer {token}"}),
        "gateway, API key": Target("gateway", lambda: {"x-api-key": key}),
    }


async def in_turns(rig: Rig, service: str, request: Request, seconds: float, **options: object) -> dict[str, Target]:
    """Load all targets a few times, one after the other, so that they see the same machine."""
    found = await targets(rig, service)
    for _ in range(ROUNDS):
        for target in found.values():
            await target.load(rig, request, seconds, **options)
    return found


async def gateway(rig: Rig) -> list[Section]:
    """About 30 s: full load, then 30 % of it."""
    request: Request = ("GET", f"/project/{rig.customer.project_id}", None)
    await in_turns(rig, "project-api", request, 0.2)
    load_before = load_average()
    full = await in_turns(rig, "project-api", request, FULL_SECONDS)
    sections = [_full_load(full, load_before)]
    rate, load_before = PACED_SHARE * min(target.per_second for target in full.values()), load_average()
    paced = await in_turns(rig, "project-api", request, PACED_SECONDS, per_second=rate)
    title = f"GET /project/{{projectId}} at {rate:.0f} requests/s, {PACED_SHARE:.0%} of full load"
    return [*sections, _latencies(title, paced, load_before, bars=True)]


def _full_load(by_name: Mapping[str, Target], load_before: float) -> Section:
    direct = by_name["service direct"]
    rows = [
        (
            name,
            target.per_second,
            None if target is direct else target.per_second / direct.per_second,
            target.per_cpu_second,
            "" if target is direct else at_least(target.per_cpu_second, 3000),
        )
        for name, target in by_name.items()
    ]
    columns = ("", "requests/s", "of direct", "requests per CPU second", "bar")
    note = "CPU seconds are those of the gateway, or of the service in the first row."
    return Section("GET /project/{projectId} at full load, 16 connections", columns, rows, load_before, (note,))


async def make_call(rig: Rig) -> list[Section]:
    """About 30 s: no worker runs, so that the API is measured alone; the queued calls then find the callee busy."""
    customer = rig.customer
    body = {"number": BUSY, "projectId": customer.project_id, "agentId": customer.agent_id}
    done, load_before = len(rig.log.completed), load_average()
    async with rig.worker_stopped():
        by_name = await in_turns(rig, "call-api", ("POST", "/call/makeCall", body), MAKE_SECONDS, connections=1)
    made = sum(len(target.latencies_ms) for target in by_name.values())
    await eventually(lambda: len(rig.log.completed) >= done + made, DRAINED_SECONDS)
    title = f"POST /call/makeCall, one after the other, {made} calls, no worker"
    return [_latencies(title, by_name, load_before, bars=False)]


def _latencies(title: str, by_name: Mapping[str, Target], load_before: float, *, bars: bool) -> Section:
    direct = by_name["service direct"]
    columns = ["", "requests/s"]
    rows: list[list[Cell]] = [[name, target.per_second] for name, target in by_name.items()]
    for percent, limit in ((50, 1.5), (99, 6.0)):
        columns += [f"p{percent} ms", "added", *(["bar"] if bars else [])]
        for row, target in zip(rows, by_name.values(), strict=True):
            value, base = (percentile(one.latencies_ms, percent) or 0.0 for one in (target, direct))
            bar = at_most(value - base, limit) if bars and target is not direct else ""
            row += [value, None if target is direct else value - base, *([bar] if bars else [])]
    return Section(title, columns, rows, load_before)
