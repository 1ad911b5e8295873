"""Our user agent and RTP engine, with jitter buffer, RTCP and both recording taps, on uvloop as in a worker."""

import asyncio
import gc
import sys
from datetime import timedelta

import uvloop

from call_service.carriers.port import Answered, CarrierRejectedError, DialRequest, Ended
from call_service.carriers.rtp import RtpEngine
from call_service.carriers.sip import IncomingCall, Listener, SipCarrier, SipLeg, Trunk
from call_service.carriers.testing import LOUD_FRAME
from call_service.carriers.ticker import Ticker
from tests.bench.peers.telephone import CALLEE, CALLER, LOOPBACK, HangUp, asked, dial_all, say

PORTS = range(24_000, 26_000)
SENTENCE = LOUD_FRAME * 150
FLUSHED_BYTES = 16_000


class Tap:
    """A recorder's side: what came is written away every second."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def take(self, frame: bytes) -> None:
        self._waiting += frame
        if len(self._waiting) >= FLUSHED_BYTES:
            self._waiting.clear()


class Phone:
    """A carrier with one trunk: the other end."""

    def __init__(self, other_port: int) -> None:
        self.ticker = Ticker()
        self.legs: list[SipLeg] = []
        trunk = Trunk(
            name="bench", host=LOOPBACK, port=other_port, pings_every=None, calls_per_second=1_000, max_calls=10_000
        )
        rtp = RtpEngine(PORTS, LOOPBACK, LOOPBACK, self.ticker)
        self.carrier = SipCarrier([trunk], rtp, (Listener("UDP", LOOPBACK, 0),))

    def answer(self, call: IncomingCall) -> None:
        call.answer()

    def talk(self, call: IncomingCall) -> None:
        leg = call.answer()
        self.legs.append(leg)
        leg.on_audio(Tap().take)
        leg.on_played_frame(Tap().take)
        self.speak(leg)

    def speak(self, leg: SipLeg) -> None:
        """One sentence of three seconds after the other."""
        leg.play(SENTENCE)
        leg.mark(lambda: None if leg.has_ended else self.speak(leg))

    async def dial(self, number: int) -> HangUp:
        request = DialRequest(f"{number}", CALLEE, CALLER, timedelta(seconds=20), trunk_id="bench")
        leg = await self.carrier.place(request)
        answered = asyncio.get_running_loop().create_future()

        def heard(event: object) -> None:
            if not answered.done():
                if event == Answered():
                    answered.set_result(None)
                elif isinstance(event, Ended):
                    answered.set_exception(CarrierRejectedError(event.cause, event.sip_code))

        leg.on_event(heard)
        await answered
        return leg.hang_up

    def report(self) -> dict[str, int]:
        stats = [leg.media.stats() for leg in self.legs]
        lost, late = sum(each.lost for each in stats), sum(each.late for each in stats)
        return {"lost": lost, "late": late, "skipped": self.ticker.skipped_ticks}


async def main(mode: str, other_port: int, calls: int = 0, per_second: int = 0) -> None:
    phone = Phone(other_port)
    phone.carrier.on_invite = phone.talk if mode == "talk" else phone.answer
    await phone.carrier.open()
    address = phone.carrier.address("UDP")
    assert address
    gc.collect()
    gc.freeze()  # as `shared.http.serve` does in a worker
    say(port=address[1])
    while await asked():
        say(**(await dial_all(phone.dial, calls, per_second) if mode == "dial" else phone.report()))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], *map(int, sys.argv[2:])))
