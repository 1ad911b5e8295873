"""A carrier between tests and the peers of the matrix; nothing of it may be left at the end."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from call_service.carriers.port import Answered, DialRequest, Ended, LegEvent
from call_service.carriers.rtp import RtpEngine
from call_service.carriers.sip import IncomingCall, Listener, SipCarrier, SipLeg, Trunk
from call_service.carriers.sip.timers import Timers
from call_service.carriers.ticker import Ticker
from tests.support.calls import MIGRATIONS
from tests.support.databases import Tables
from tests.support.sip_peers import LOOPBACK, Sipp, until

# Each process of the tests has some of its own: on the port of a call that ended late audio may still arrive.
PORTS = count(10_000 + 4_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]), 60)


@dataclass
class Call:
    """A leg with what it told."""

    leg: SipLeg
    events: list[LegEvent] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.leg.on_event(self.events.append)
        self.leg.on_audio(self.heard.extend)

    async def sees(self, event: LegEvent, seconds: float = 10.0) -> None:
        await until(lambda: event in self.events, seconds)

    async def ends(self, seconds: float = 10.0) -> Ended:
        await until(lambda: isinstance(self.events[-1:][0] if self.events else None, Ended), seconds)
        last = self.events[-1]
        assert isinstance(last, Ended)
        return last


class Phone:
    """Our side: a carrier with trunks to the given peers, and what came in."""

    def __init__(self, carrier: SipCarrier, rtp: RtpEngine) -> None:
        self.carrier = carrier
        self.rtp = rtp
        self.invites: asyncio.Queue[IncomingCall] = asyncio.Queue()
        carrier.on_invite = self.invites.put_nowait

    @property
    def address(self) -> tuple[str, int]:
        found = self.carrier.address("UDP")
        assert found
        return found

    async def dial(
        self,
        to: str = "+12025550100",
        from_: str = "+12025559999",
        ring: timedelta = timedelta(seconds=20),
        trunk: str = "peer",
    ) -> Call:
        return Call(await self.carrier.place(DialRequest(f"call-{to}", to, from_, ring, trunk_id=trunk)))

    async def dial_answered(self, to: str = "+12025550100", trunk: str = "peer") -> Call:
        call = await self.dial(to, trunk=trunk)
        await call.sees(Answered())
        return call

    async def invited(self) -> IncomingCall:
        async with asyncio.timeout(10):
            return await self.invites.get()


MakePhone = Callable[..., Awaitable[Phone]]


@pytest.fixture(scope="session")
def tables() -> Tables:
    return Tables("calls", MIGRATIONS)


@pytest.fixture
async def make_phone() -> AsyncIterator[MakePhone]:
    """Opens carriers on loopback; closes them and looks for what they left."""
    phones: list[tuple[Phone, int]] = []

    async def make(
        *trunks: Trunk, listeners: tuple[Listener, ...] | None = None, ports: range | None = None, **options: object
    ) -> Phone:
        start = next(PORTS)
        rtp = RtpEngine(ports or range(start, start + 60), LOOPBACK, LOOPBACK, Ticker())
        free = rtp.free_ports
        carrier = SipCarrier(
            trunks,
            rtp,
            listeners or (Listener("UDP", LOOPBACK, 0), Listener("TCP", LOOPBACK, 0)),
            **options,  # type: ignore[arg-type] # the tests' own options
        )
        await carrier.open()
        phone = Phone(carrier, rtp)
        phones.append((phone, free))
        return phone

    yield make
    before = asyncio.current_task()
    for phone, free in phones:
        await phone.carrier.close()
        agent = phone.carrier._agent
        assert (agent.dialogs, len(agent.transactions), phone.rtp.free_ports) == (0, 0, free)
    # A pool takes a connection back in a task of its own.
    await until(lambda: asyncio.all_tasks() == {before}, 2)


@pytest.fixture
def sipp(tmp_path: Path) -> Sipp:
    return Sipp(tmp_path)


def trunk(port: int, **options: object) -> Trunk:
    """A trunk to a peer on loopback."""
    fields: dict[str, object] = {"name": "peer", "host": LOOPBACK, "port": port, "pings_every": None}
    fields |= {"calls_per_second": 1_000.0, **options}
    return Trunk.model_validate(fields)


class _Hurry:
    """The loop's clock, twenty times as fast."""

    FACTOR = 20

    def time(self) -> float:
        return asyncio.get_running_loop().time() * self.FACTOR

    def call_at(self, when: float, callback: Callable[[], None], /) -> object:
        return asyncio.get_running_loop().call_at(when / self.FACTOR, callback)


@pytest.fixture
def hasty_timers() -> Timers:
    """SIP timers that run out twenty times as fast: 45 s take 2.3 s."""
    return Timers(_Hurry())
