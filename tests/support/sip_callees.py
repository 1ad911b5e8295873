"""Two of our own user agents on loopback: one dials, the other is every callee a carrier's contract speaks of."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from call_service.carriers.rtp import RtpEngine
from call_service.carriers.sip import IncomingCall, Listener, SipCarrier, Trunk
from call_service.carriers.testing import LOUD_FRAME
from call_service.carriers.ticker import Ticker

TALKS, BUSY, NEVER_ANSWERS = "+12025550100", "+12025550101", "+12025550102"
LOOPBACK = "127.0.0.1"
SPEECH = LOUD_FRAME * 500
LISTENER = (Listener("UDP", LOOPBACK, 0),)


def _callee(call: IncomingCall) -> None:
    if call.to == BUSY:
        call.reject(486)
        return
    call.ring()
    if call.to == TALKS:
        asyncio.get_running_loop().call_later(0.05, _pick_up, call)


def _pick_up(call: IncomingCall) -> None:
    if call.is_open:
        call.answer().play(SPEECH)


def _carrier(start: int, port: int, on_invite: Callable[[IncomingCall], None] | None) -> SipCarrier:
    rtp = RtpEngine(range(start, start + 20), LOOPBACK, LOOPBACK, Ticker())
    return SipCarrier([_trunk(port)], rtp, LISTENER, on_invite=on_invite)


def _trunk(port: int, *, accepts_refer: bool = False) -> Trunk:
    return Trunk(
        name="other", host=LOOPBACK, port=port, pings_every=None, calls_per_second=1000, accepts_refer=accepts_refer
    )


@asynccontextmanager
async def sip_with_callees() -> AsyncIterator[SipCarrier]:
    """A `SipCarrier` that reaches `TALKS`, `BUSY` and `NEVER_ANSWERS`."""
    callees = _carrier(20_000, 9, _callee)
    await callees.open()
    address = callees.address("UDP")
    assert address
    carrier = _carrier(20_100, address[1], _callee)  # who is transferred reaches the same callees here
    await carrier.open()
    back = carrier.address("UDP")
    assert back
    await callees.use([_trunk(back[1], accepts_refer=True)])
    yield carrier
    await carrier.close()
    await callees.close()
