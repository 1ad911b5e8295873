"""Calls set up and taken down per second, in and out, without media: the cost of the signalling alone."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import pytest

from call_service.carriers.port import Answered, DialRequest
from call_service.carriers.rtp import RtpEngine
from call_service.carriers.sip import IncomingCall, Listener, SipCarrier
from call_service.carriers.ticker import Ticker
from tests.integration.sip.conftest import trunk
from tests.support.sip_peers import LOOPBACK, Sipp, free_port, until

RATE, CALLS = 250, 2_000
LISTENER = (Listener("UDP", LOOPBACK, 0),)


async def _carrier(port: int) -> SipCarrier:
    rtp = RtpEngine(range(40_000, 44_000), LOOPBACK, LOOPBACK, Ticker())
    carrier = SipCarrier([trunk(port, max_calls=1_000, calls_per_second=1_000)], rtp, LISTENER)
    await carrier.open()
    return carrier


def _report(direction: str, wall: float, cpu: float) -> None:
    print(f"\n{direction}: {CALLS / wall:.0f} calls/s, {cpu / wall:.0%} of a core, {cpu / CALLS * 1000:.2f} ms a call")


@pytest.mark.timeout(180)
async def test_calls_out(tmp_path: Path) -> None:
    port = free_port()
    carrier = await _carrier(port)
    setups: list[float] = []

    async def call(number: int) -> None:
        start = time.perf_counter()
        request = DialRequest(f"{number}", "+12025550100", "+12025559999", timedelta(seconds=20), trunk_id="peer")
        leg = await carrier.place(request)
        answered = asyncio.Event()
        leg.on_event(lambda event: answered.set() if event == Answered() else None)
        await answered.wait()
        setups.append(time.perf_counter() - start)
        await leg.hang_up()

    async with Sipp(tmp_path).run("uas_quick", port, calls=CALLS, seconds=120):
        wall, cpu = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for number in range(CALLS):
                group.create_task(call(number))
                await asyncio.sleep(max(0.0, wall + number / RATE - time.perf_counter()))
        _report("out", time.perf_counter() - wall, time.process_time() - cpu)
    setups.sort()
    print(f"set-up p50 {setups[CALLS // 2] * 1000:.1f} ms, p99 {setups[CALLS * 99 // 100] * 1000:.1f} ms")
    await carrier.close()


@pytest.mark.timeout(180)
async def test_calls_in(tmp_path: Path) -> None:
    carrier = await _carrier(free_port())
    address = carrier.address("UDP")
    taken = 0

    def answer(call: IncomingCall) -> None:
        nonlocal taken
        taken += 1
        call.answer()

    carrier.on_invite = answer
    options = ("-s", "+12025559999", "-r", str(RATE), "-d", "0")
    wall, cpu = time.perf_counter(), time.process_time()
    async with Sipp(tmp_path).run("uac_talk", free_port(), *options, remote=address, calls=CALLS, seconds=120):
        await until(lambda: taken == CALLS, 120)
        _report("in", time.perf_counter() - wall, time.process_time() - cpu)
    await carrier.close()
