"""baresip-python: audio through its `aumem` driver, written and read for all calls by one loop."""

import asyncio
import sys
from typing import Any

import baresip

from call_service.carriers.testing import LOUD_FRAME
from tests.bench.other_end import LOOPBACK
from tests.bench.peers.telephone import CALLEE, HangUp, asked, dial_all, say
from tests.support.sip_peers import free_port

# Two steps of audio lie in the buffer: what one is late by is not heard.
STEP_SECONDS, AHEAD_BYTES, MOST_BYTES = 0.1, 2 * 1_600, 16_000


class Phone:
    """One user agent without a registrar."""

    def __init__(self, *, talks: bool) -> None:
        self.talks = talks
        self.calls: list[Any] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def open(self, other_port: int) -> int:
        port = free_port()
        config = baresip.Config(
            net_interface=LOOPBACK,
            max_concurrent_calls=None,
            native_log_level="error",
            extra_config_text=f"sip_listen {LOOPBACK}:{port}\nrtp_ports 30000-31999\n",
        )
        self.runtime = baresip.Runtime()
        await self.runtime.start(config)
        account = baresip.Account(
            user=CALLEE, domain=f"{LOOPBACK}:{other_port}", password="", reg_interval=0, audio_codecs=("pcmu",)
        )
        self.agent = await baresip.UserAgent.create(self.runtime, account)
        self.agent.on_incoming(self.take)
        return port

    def take(self, call: Any) -> None:
        task = asyncio.create_task(call.answer())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        if self.talks:
            self.calls.append(call)

    async def keep_talking(self) -> None:
        while True:
            for call in self.calls:
                try:
                    queued = call.audio.info().tx_buffered
                    call.audio.write((LOUD_FRAME * 20)[: max(0, AHEAD_BYTES - queued)])
                    call.audio.read(MOST_BYTES)
                except (baresip.AudioNotActive, baresip.AudioRestarted):
                    continue
            await asyncio.sleep(STEP_SECONDS)

    async def dial(self, other_port: int) -> HangUp:
        call = await self.agent.dial(f"sip:{CALLEE}@{LOOPBACK}:{other_port}")
        await call.wait_established()
        hang_up: HangUp = call.hangup
        return hang_up


async def main(mode: str, other_port: int, calls: int = 0, per_second: int = 0) -> None:
    phone = Phone(talks=mode == "talk")
    say(port=await phone.open(other_port))
    talking = asyncio.create_task(phone.keep_talking())
    while await asked():
        say(**(await dial_all(lambda _number: phone.dial(other_port), calls, per_second) if mode == "dial" else {}))
    talking.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
