"""Each number of the simulated carrier ends as documented."""

import asyncio
from typing import Any

import aiohttp
import pytest

from deploy.local.stack import Stack
from tests.support.customers import new_customer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

EXPECTED = {
    "0101": ("busy", "callee_busy"),
    "0102": ("no-answer", "no_answer"),
    "0103": ("failed", "declined"),
    "0104": ("voicemail", "voicemail_detected"),
    "0105": ("silence", "silence_timeout"),
    "0106": ("failed", "invalid_number"),
    "0107": ("completed", "callee_hung_up"),
}


async def test_every_callee_ends_as_documented(stack: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(stack, session)

    async def outcome(callee: str) -> tuple[str, str]:
        call_id = await customer.call(f"+1202555{callee}")
        call: dict[str, Any] = (await customer.follow(call_id))["data"]
        ends = [event for event in customer.seen[call_id] if event["type"] == "call.ended"]
        assert len(ends) == 1
        return call["status"], call["reason"]

    outcomes = await asyncio.gather(*(outcome(callee) for callee in EXPECTED))
    assert dict(zip(EXPECTED, outcomes, strict=True)) == EXPECTED


async def test_keys_that_the_callee_presses_reach_the_transcript(stack: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(stack, session)
    call_id = await customer.call("+12025550110")
    call = (await customer.follow(call_id))["data"]
    assert "42#" in {turn["text"] for turn in call["transcript"] if turn["role"] == "user"}


async def test_an_interrupted_agent_stops_and_says_so(stack: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(stack, session)
    call_id = await customer.call("+12025550108")
    await customer.follow(call_id)
    turns = [event["data"] for event in customer.seen[call_id] if event["type"] == "call.turn"]
    interrupted = [turn for turn in turns if turn["role"] == "agent" and turn["interrupted"]]
    assert interrupted
    assert any("barge_in_ms" in turn["timings"] for turn in interrupted)
