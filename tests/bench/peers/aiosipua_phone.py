"""aiosipua with aiortp: adaptive playout, paced sending, RTCP. It fails on uvloop."""

import asyncio
import sys
from itertools import cycle
from typing import Any

import aiortp
import aiosipua

from tests.bench.peers.telephone import CALLEE, CALLER, LOOPBACK, PLAY_SECONDS, HangUp, asked, dial_all, say

PORTS = cycle(range(28_000, 32_000, 2))
PCMU = 0
FRAME = bytes(range(160))


class Phone:
    """A server and a client of calls on one socket."""

    def __init__(self, other_port: int, *, talks: bool) -> None:
        self.other = (LOOPBACK, other_port)
        self.talks = talks
        self.sessions: dict[str, Any] = {}
        transport = aiosipua.UdpSipTransport(local_addr=(LOOPBACK, 0))
        self.client = aiosipua.SipUAC(transport)
        self.server = aiosipua.SipUAS(transport, uac=self.client)
        self.server.on_invite = self.take
        self.server.on_bye = self.end
        self.transport = transport
        self.tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        await self.server.start()
        port: int = self.transport._udp_transport.get_extra_info("sockname")[1]
        self.transport.local_addr = (LOOPBACK, port)
        return port

    def spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def take(self, call: Any) -> None:
        self.spawn(self.answer(call))

    def end(self, call: Any, _request: Any) -> None:
        if session := self.sessions.pop(call.call_id, None):
            self.spawn(session.close())

    async def answer(self, call: Any) -> None:
        port = next(PORTS)
        answer, _ = aiosipua.negotiate_sdp(call.sdp_offer, LOOPBACK, port)
        self.sessions[call.call_id] = await self.media(port, call.sdp_offer.rtp_address)
        call.accept(answer)

    async def media(self, port: int, remote: tuple[str, int]) -> Any:
        session = await aiortp.RTPSession.create(
            (LOOPBACK, port), remote, PCMU, playout=True, paced=True, symmetric_rtp=True
        )
        heard = bytearray()
        session.on_audio = lambda pcm, _timestamp: heard.extend(pcm)
        if self.talks:
            for _ in range(50 * PLAY_SECONDS):
                session.send_audio_auto(FRAME)
        return session

    async def dial(self, number: int) -> HangUp:
        port = next(PORTS)
        session = await self.media(port, (LOOPBACK, 9))
        offer = aiosipua.build_sdp(LOOPBACK, port, PCMU, "PCMU")
        host = f"{self.other[0]}:{self.other[1]}"
        call = self.client.send_invite(f"sip:{CALLER}@{LOOPBACK}", f"sip:{CALLEE}@{host}", self.other, offer)
        await call.wait_answered()

        async def hang_up() -> None:
            call.hangup(self.client)
            await session.close()

        return hang_up

    def report(self) -> dict[str, int]:
        return {"lost": sum(session.stats.get("packets_lost", 0) for session in self.sessions.values())}


async def main(mode: str, other_port: int, calls: int = 0, per_second: int = 0) -> None:
    # It asserts that its transport is of a class that CPython 3.11's is not, and works all the same.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    phone = Phone(other_port, talks=mode == "talk")
    say(port=await phone.open())
    while await asked():
        say(**(await dial_all(phone.dial, calls, per_second) if mode == "dial" else phone.report()))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
