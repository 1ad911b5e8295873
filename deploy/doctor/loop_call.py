"""A call from our user agent to our user agent on this machine: SIP over UDP, audio both ways, compared."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from call_service.carriers.port import (
    FRAME_BYTES,
    Answered,
    CallRefusedError,
    CarrierRejectedError,
    DialRequest,
    Ended,
    LegEvent,
    OutcomeUnknownError,
)
from call_service.carriers.rtp import RtpEngine
from call_service.carriers.sip import IncomingCall, Listener, SipCarrier, SipLeg, Trunk
from call_service.carriers.ticker import Ticker
from deploy.doctor.hops import BrokenError
from deploy.doctor.sweep import correlation, sweep

LOOPBACK = "127.0.0.1"
CALLER, CALLEE = "+12025550199", "+12025550100"
RING = timedelta(seconds=5)
SET_UP_SECONDS = 5.0
AUDIO_SECONDS = 2.0
# What is on its way when the last frame was sent: jitter buffer and a few ticks.
LAG_SECONDS = 0.4
ENOUGH = 0.95


@dataclass
class _End:
    """One side of the call."""

    leg: SipLeg
    events: asyncio.Queue[LegEvent] = field(default_factory=asyncio.Queue)
    heard: bytearray = field(default_factory=bytearray)
    has_heard: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.leg.on_event(self.events.put_nowait)

    async def answered(self) -> None:
        """Raises BrokenError when it ends instead."""
        while True:
            event = await self.events.get()
            if isinstance(event, Answered):
                return
            if isinstance(event, Ended):
                raise BrokenError(f"the call ended instead of being answered: {event.sip_code or ''} {event.cause}")

    async def talk(self, audio: bytes) -> None:
        """Say `audio`, and listen as long."""
        enough = len(audio) + int(LAG_SECONDS * 50) * FRAME_BYTES

        def hear(frame: bytes) -> None:
            self.heard.extend(frame)
            if len(self.heard) >= enough:
                self.has_heard.set()

        self.leg.on_audio(hear)
        self.leg.play(audio)
        await self.has_heard.wait()


async def loop_call(ports: range) -> str:
    """Place, answer, talk both ways, hang up; RTP on some of `ports`.

    Raises:
        BrokenError: a part of it failed; the text says which.
    """
    loop = asyncio.get_running_loop()
    invites: asyncio.Queue[IncomingCall] = asyncio.Queue()
    async with _phone(ports) as caller, _phone(ports) as callee:
        callee.on_invite = invites.put_nowait
        await callee.use([_trunk(caller)])
        await caller.use([_trunk(callee)])
        began = loop.time()
        try:
            async with asyncio.timeout(SET_UP_SECONDS):
                ends = await _set_up(caller, invites)
        except TimeoutError:
            raise BrokenError(f"no INVITE was answered in {SET_UP_SECONDS:g} s", _FIREWALL) from None
        set_up_ms = (loop.time() - began) * 1000
        return f"answered in {set_up_ms:.0f} ms; {await _compare(ends)}"


_FIREWALL = "see sip-ports above; or a firewall drops UDP on loopback (`nft list ruleset`); or the machine is too busy"


async def _set_up(caller: SipCarrier, invites: asyncio.Queue[IncomingCall]) -> tuple[_End, _End]:
    request = DialRequest("doctor", CALLEE, CALLER, RING, trunk_id="peer")
    dialling = asyncio.create_task(caller.place(request))
    answering = asyncio.create_task(_answer(invites))
    try:
        await asyncio.wait((dialling, answering), return_when=asyncio.FIRST_EXCEPTION)
        dialled = _End(await dialling)
        callee = _End(await answering)
    except (CarrierRejectedError, OutcomeUnknownError, CallRefusedError) as error:
        raise BrokenError(f"the call failed: {error}", _FIREWALL) from error
    finally:
        dialling.cancel()
        answering.cancel()
    await dialled.answered()
    await callee.answered()
    return dialled, callee


async def _answer(invites: asyncio.Queue[IncomingCall]) -> SipLeg:
    return (await invites.get()).answer()


async def _compare(ends: tuple[_End, _End]) -> str:
    """Both say a sweep, in opposite directions, so that an echo isn't taken for the other side."""
    said = sweep(AUDIO_SECONDS), sweep(AUDIO_SECONDS, low=3_000, high=300)
    with suppress(TimeoutError):  # what was heard by then is compared
        async with asyncio.timeout(AUDIO_SECONDS * 2 + LAG_SECONDS):
            await asyncio.gather(*(end.talk(audio) for end, audio in zip(ends, said, strict=True)))
    outward, back = await asyncio.gather(
        *(
            asyncio.to_thread(correlation, audio, bytes(end.heard))
            for audio, end in zip(said, reversed(ends), strict=True)
        )
    )
    stats = [end.leg.media.stats() for end in ends]
    for end in ends:
        await end.leg.hang_up()
    packets = " and ".join(f"{one.packets_received} packets ({one.lost} lost)" for one in stats)
    text = f"audio came as it was sent to {outward:.4f} and {back:.4f}; {packets}"
    if min(outward, back) < ENOUGH:
        hint = "a firewall drops UDP of the RTP range on loopback, or the machine is too busy for audio (`uptime`)"
        raise BrokenError(text, hint)
    return text


@asynccontextmanager
async def _phone(ports: range) -> AsyncIterator[SipCarrier]:
    rtp = RtpEngine(ports, LOOPBACK, LOOPBACK, Ticker())
    carrier = SipCarrier((), rtp, (Listener("UDP", LOOPBACK, 0),))
    await carrier.open()
    try:
        yield carrier
    finally:
        await carrier.close()
        await rtp.close()


def _trunk(peer: SipCarrier) -> Trunk:
    address = peer.address("UDP")
    assert address is not None
    return Trunk(name="peer", host=LOOPBACK, port=address[1], pings_every=None, calls_per_second=100)
