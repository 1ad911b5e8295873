"""A worker of this process on a carrier that does what the test says and counts its dials."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from call_service.batches.dialing import BatchDialer
from call_service.batches.pre_dial import PURPOSE, PreDial
from call_service.calls import repository
from call_service.calls.claiming import CallClaimer, Claimer
from call_service.calls.domain import Call
from call_service.calls.sweeper import Sweeper
from call_service.calls.wrap_up import Analyzer, WrapUp
from call_service.carriers.port import Answered, DialRequest, Ringing
from call_service.carriers.ticker import Ticker
from call_service.dialer.runner import Tools
from call_service.dialer.worker import Worker
from call_service.kept import Kept
from call_service.recordings import RecordingStore
from call_service.vendors.equipment import Vendors
from call_service.vendors.models import Sessions
from call_service.voice.brain import build_brain
from call_service.voice.engines.bundle import load_engines
from call_service.voice.memory_leg import MemoryLeg
from shared.background import running
from shared.clock import SystemClock
from shared.db import Database
from shared.http_client import Answer, DeliveryFailedError
from shared.ids import new_id
from shared.secret_box import SecretBox
from tests.support.calls import LIMITS, SECRET, agent

LEASE = timedelta(seconds=30)
PUBLIC = "http://127.0.0.1"


class Switchboard:
    """A `Carrier`: `place` waits for `opened`; then the phone rings, and `answers` after so many seconds, if ever."""

    name = "switchboard"

    def __init__(self, *, answers: float | None = None) -> None:
        self.asked: list[str] = []
        self.dialled: list[str] = []
        self.numbers: list[str] = []
        self.legs: dict[str, MemoryLeg] = {}
        self.opened = asyncio.Event()
        self.opened.set()
        self._answers = answers
        self._ticker = Ticker()

    async def place(self, request: DialRequest) -> MemoryLeg:
        self.asked.append(request.call_id)
        await self.opened.wait()
        self.dialled.append(request.call_id)
        self.numbers.append(request.to)
        leg = self.legs[request.call_id] = MemoryLeg()
        leg.emit(Ringing())
        self._ticker.add(leg)
        if self._answers is not None:
            asyncio.get_running_loop().call_later(self._answers, leg.emit, Answered())
        return leg

    async def find(self, call_id: str) -> bool | None:
        return call_id in self.dialled

    async def close(self) -> None:
        for leg in self.legs.values():
            leg.end()
            self._ticker.remove(leg)


async def no_keys(_tenant: str, _project_id: str) -> dict[str, Any]:
    """Projects without keys of vendors, or secrets."""
    return {}


class NoServers:
    """Nobody has to be asked before a dial."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        raise DeliveryFailedError("connect")


async def tools(db: Database, carrier: Any, recordings: Path, lease: timedelta = LEASE) -> Tools:
    store = RecordingStore(recordings)
    return Tools(
        carrier=carrier,
        engines=await load_engines("null"),
        brain=build_brain(None),
        recordings=store,
        wrap_up=WrapUp(db, Analyzer(None), store, PUBLIC),
        lease=lease,
        ring_timeout=timedelta(seconds=20),
        price_per_minute=Decimal(0),
        currency="USD",
        vendors=Vendors(Kept(no_keys), Sessions(allow_private=True), {}),
        pre_dial=PreDial(db, NoServers(), SecretBox(SECRET, PURPOSE), SystemClock()),
        limits=LIMITS,
    )


def claimers(db: Database, owner: str, lease: timedelta = LEASE) -> list[Claimer]:
    """Single calls, then batches."""
    batches = BatchDialer(db, owner, lease, Decimal(0), PUBLIC, LIMITS)
    return [CallClaimer(db, owner, lease, LIMITS), batches]


async def new_worker(db: Database, carrier: Any, recordings: Path, *, lease: timedelta, max_calls: int) -> Worker:
    owner = f"worker {new_id()}"
    with_carrier = await tools(db, carrier, recordings, lease)
    return Worker(db, with_carrier, claimers(db, owner, lease), owner=owner, max_calls=max_calls)


@asynccontextmanager
async def working(
    db: Database,
    carrier: Switchboard,
    recordings: Path,
    *,
    lease: timedelta = LEASE,
    heartbeat_seconds: float = 10,
    max_calls: int = 40,
) -> AsyncIterator[Worker]:
    """A running worker; its carrier hangs up everything at the end."""
    worker = await new_worker(db, carrier, recordings, lease=lease, max_calls=max_calls)
    async with running(worker.run(heartbeat_seconds), "worker"):
        yield worker
        await carrier.close()
        await worker.drain()


def sweeper(db: Database, recordings: Path) -> Sweeper:
    wrap_up = WrapUp(db, Analyzer(None), RecordingStore(recordings), PUBLIC)
    return Sweeper(wrap_up, f"sweeper {new_id()}", 1)


async def queue(db: Database, to: str = "+12025550100", **changes: Any) -> str:
    """A queued call, as makeCall leaves it; `changes` are its agent's, but for tenant and project_id."""
    async with db.transaction() as tx:
        call = await repository.insert(
            tx,
            {
                "id": new_id(),
                "tenant": changes.pop("tenant", None) or new_id(),
                "project_id": changes.pop("project_id", None) or new_id(),
                "agent_id": new_id(),
                "agent_version": 1,
                "agent": agent(**changes),
                "from_number": "+12025550199",
                "to_number": to,
                "dynamic_variables": {},
            },
        )
    return call.id


async def read(db: Database, call_id: str) -> Call:
    tenant = await db.fetchval("SELECT tenant FROM calls WHERE id = $1", call_id)
    call = await repository.find(db, str(tenant), call_id)
    assert call is not None
    return call


async def events_of(db: Database, call_id: str) -> list[str]:
    rows = await db.fetch("SELECT type FROM outbox WHERE subject = $1 ORDER BY sequence", call_id)
    return [row["type"] for row in rows if row["type"] != "call.turn"]
