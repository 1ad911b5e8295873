"""Calls that a bot of the customer holds, on a real database and a carrier without a network."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from call_service.calls import repository
from call_service.calls.domain import Call, CallTurn
from call_service.calls.timeline import timeline
from call_service.carriers.port import FRAME_MS, DtmfReceived
from call_service.dialer.runner import CallRunner
from call_service.kept import Kept
from call_service.projects import VendorKey
from call_service.scenarios.rehearsal import play
from call_service.scenarios.scenario import Scenario
from call_service.scenarios.stage import Cast, open_stage
from call_service.vendors.equipment import Vendors
from call_service.vendors.media_streams import line
from call_service.vendors.models import Sessions
from call_service.voice.brain import build_brain
from call_service.voice.engines.bundle import Engines, load_engines
from call_service.voice.memory_leg import MemoryLeg
from call_service.voice.options import Phrases
from shared.db import Database
from shared.ids import new_id
from tests.integration.vendors.test_calls_with_vendors import LONGEST_SILENCE_MS, Silence
from tests.integration.vendors.test_speech_to_speech import noise
from tests.support.calls import agent, claim
from tests.support.fake_bot import BotFault, BotStream, fake_bot
from tests.support.fake_vendors import KEY
from tests.support.sip_peers import until
from tests.support.workers import LEASE, Switchboard, queue, read, tools

GREETING = "Hello, this is Bright Dental."


@dataclass
class LiveCall:
    db: Database
    call: Call
    leg: MemoryLeg
    running: asyncio.Task[None]

    async def turns(self) -> list[CallTurn]:
        return sorted(await repository.turns(self.db, self.call.id), key=lambda turn: turn.start_ms)

    async def degraded(self) -> list[dict[str, Any]]:
        told = await timeline(self.db, self.call.id)
        return [happened.data for happened in told.happened if happened.type == "call.degraded"]

    async def agent_has_spoken(self, after_ms: int) -> CallTurn:
        """A turn begins with its first frame, 20 ms before that was counted as played."""
        async with asyncio.timeout(25):
            while True:
                for turn in await self.agents_turns():
                    if turn.start_ms >= after_ms - FRAME_MS:
                        return turn
                await asyncio.sleep(0.05)

    async def agents_turns(self) -> list[CallTurn]:
        """Without what fills the time until somebody has taken over."""
        return [turn for turn in await self.turns() if turn.role == "agent" and turn.text not in Phrases().fillers]

    async def ended(self) -> Call:
        async with asyncio.timeout(30):
            await self.running
        return await read(self.db, self.call.id)


@dataclass
class BotKeys:
    url: str
    key: str = KEY

    async def provider_keys(self, tenant: str, project_id: str) -> Mapping[str, VendorKey]:
        return {"pipecat": VendorKey(SecretStr(self.key), self.url)}


def chosen(**options: Any) -> dict[str, Any]:
    return {"s2s": {"provider": "pipecat", "model": None, "voice": None, "options": options}}


@asynccontextmanager
async def held_by(
    url: str,
    db: Database,
    tmp_path: Path,
    *,
    key: str = KEY,
    answers: float = 0.05,
    engines: Engines | None = None,
    **options: Any,
) -> AsyncIterator[LiveCall]:
    """A call until it ends."""
    board, sessions = Switchboard(answers=answers), Sessions(allow_private=True)
    await queue(db, providers=chosen(**options), firstMessage=GREETING, silenceTimeoutSeconds=30)
    async with asyncio.timeout(10):
        while not (claimed := await claim(db, "worker", LEASE, 1)):  # noqa: ASYNC110 # another is being claimed
            await asyncio.sleep(0.01)
    call = replace(claimed[0], dynamic_variables={"name": "Anna"})
    at_hand = await tools(db, board, tmp_path)
    at_hand = replace(at_hand, vendors=Vendors(Kept(BotKeys(url, key).provider_keys), sessions, {}))
    at_hand = replace(at_hand, engines=engines or at_hand.engines)
    running = asyncio.create_task(CallRunner(call, at_hand).run())
    try:
        await until(lambda: board.legs)
        yield LiveCall(db, call, board.legs[call.id], running)
        async with asyncio.timeout(30):
            await running
    finally:
        running.cancel()
        await board.close()
        await sessions.close()


async def test_a_whole_call_is_held_by_a_bot(db: Database, tmp_path: Path) -> None:
    async def talk(stream: BotStream) -> None:
        await stream.say(600)
        await stream.send("mark", mark={"name": "greeted"})
        await until(lambda: stream.events.count("dtmf") == 1, 20)
        await stream.say(400)

    async with fake_bot(talk) as bot, held_by(bot.url, db, tmp_path, persona="Maya", polite=True, speed=1.5) as live:
        await until(lambda: bot.streams and "mark" in bot.streams[0].events, 10)
        live.leg.say(noise(1000))
        async with asyncio.timeout(10):
            while len(await live.turns()) < 2:  # noqa: ASYNC110 - another task writes
                await asyncio.sleep(0.05)
        live.leg.emit(DtmfReceived("5"))
        call = await live.ended()
    assert (call.status, call.reason, call.fault) == ("completed", "agent_hung_up", "none")
    assert call.recording is not None
    assert [turn.role for turn in await live.turns()] == ["agent", "user", "agent"]
    assert bot.streams[0].events == ["connected", "start", "mark", "dtmf"]
    start = bot.streams[0].start
    assert start["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    assert (start["callSid"], start["accountSid"], start["tracks"]) == (call.id, call.project_id, ["inbound"])
    assert start["customParameters"] == {
        "call_id": call.id,
        "agent_id": call.agent_id,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "direction": "outbound",
        "name": "Anna",
        "persona": "Maya",
        "polite": "true",
        "speed": "1.5",
    }
    [dtmf] = [message["dtmf"] for message in bot.streams[0].messages if message["event"] == "dtmf"]
    assert dtmf == {"track": "inbound_track", "digit": "5"}
    assert sum(map(bool, bot.streams[0].heard)) > 16 * 900
    assert bot.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert {line["provider"]: line["amount"] for line in call.costs if line["kind"] == "s2s"}["pipecat"] > 1


async def test_the_local_recogniser_writes_down_both_sides(db: Database, tmp_path: Path) -> None:
    local = await load_engines("local")
    asked = await local.synthesizer.synthesize("What are your opening hours?", "heart")
    answered = await local.synthesizer.synthesize("We are open from nine to five.", "heart")

    async def talk(stream: BotStream) -> None:
        await stream.play(answered)
        await asyncio.sleep(60)

    try:
        async with fake_bot(talk) as bot, held_by(bot.url, db, tmp_path, engines=local) as live:
            await until(lambda: live.leg.queued_ms, 10)
            await until(lambda: not live.leg.queued_ms, 10)
            live.leg.say(asked)
            async with asyncio.timeout(20):
                while len(await live.turns()) < 2:  # noqa: ASYNC110 - another task writes
                    await asyncio.sleep(0.05)
            live.leg.end()
    finally:
        local.close()
    [bots, callees] = await live.turns()
    assert (bots.role, callees.role) == ("agent", "user")
    assert "open from nine to five" in bots.text.lower()
    assert "opening hours" in callees.text.lower()


async def test_a_bot_learns_that_the_callee_has_hung_up(db: Database, tmp_path: Path) -> None:
    async def talk(stream: BotStream) -> None:
        await stream.say(600)
        await asyncio.sleep(60)

    async with fake_bot(talk) as bot, held_by(bot.url, db, tmp_path, key="") as live:
        await until(lambda: live.leg.queued_ms, 10)
        await until(lambda: not live.leg.queued_ms, 10)
        live.leg.end()
        call = await live.ended()
    assert (call.status, call.reason) == ("completed", "callee_hung_up")
    assert bot.streams[0].events == ["connected", "start", "stop"]
    assert bot.streams[0].close_code == 1000
    assert "Authorization" not in bot.headers[0]


async def test_a_bot_hears_nothing_of_a_call_that_nobody_answers(db: Database, tmp_path: Path) -> None:
    async def talk(stream: BotStream) -> None:
        raise AssertionError("it did not begin")

    async with fake_bot(talk) as bot, held_by(bot.url, db, tmp_path, answers=3600) as live:
        live.leg.end("callee_busy")
        assert (await live.ended()).status == "busy"
    assert bot.headers == []


async def test_a_bot_is_tested_by_simulated_callers_as_any_agent_is() -> None:
    async def talk(stream: BotStream) -> None:
        await stream.say(800)
        await until(lambda: sum(map(bool, stream.heard)) > 16 * 400, 20)
        await asyncio.sleep(1)
        await stream.say(600)

    callee = {"description": "Says something once.", "turns": [{"wait_for": "", "say": "Yes, please."}]}
    expect = {"status": "completed", "reason": "agent_hung_up", "max_turns": 2}
    scenario = Scenario.model_validate({"name": "a bot", "callee": callee, "expect": expect})
    engines, sessions = await load_engines("null"), Sessions(allow_private=True)
    async with fake_bot(talk) as bot:
        vendors = Vendors(Kept(BotKeys(bot.url).provider_keys), sessions, {})
        async with open_stage(engines, build_brain(None), vendors) as stage:
            report = await play(scenario, Cast(new_id(), new_id(), agent(providers=chosen())), stage)
    await sessions.close()
    assert report.ok, report.checks
    assert [turn.role for turn in report.transcript] == ["agent", "user", "agent"]
    assert [ms > 500 for ms in report.voice_to_voice_ms] == [True]


FROM_THE_CONNECTION_ON = (BotFault.REFUSE, BotFault.DROP, BotFault.EXPIRED, BotFault.MUTE)
LATER = tuple(fault for fault in BotFault if fault not in {BotFault.NONE, BotFault.FROZEN, *FROM_THE_CONNECTION_ON})


async def with_each(faults: Sequence[BotFault], check: Callable[[BotFault], Coroutine[Any, Any, None]]) -> None:
    """All at once, because such a call is waiting for most of its time."""
    failures = await asyncio.gather(*map(check, faults), return_exceptions=True)
    for fault, failure in zip(faults, failures, strict=True):
        if failure:
            failure.add_note(f"The bot's fault: {fault}.")
    if failed := [failure for failure in failures if failure]:
        raise BaseExceptionGroup("calls whose bot failed", failed)


async def test_the_pipeline_takes_over_from_a_bot_that_fails_from_the_start(db: Database, tmp_path: Path) -> None:
    async def check(fault: BotFault) -> None:
        async def talk(stream: BotStream) -> None:
            await bot.speak(stream, 8_000)

        async with fake_bot(talk, fault) as bot, held_by(bot.url, db, tmp_path, patience_ms=2_000) as live:
            await _goes_on(live, watched(live))
        if fault not in {BotFault.CUT, BotFault.DRIBBLE}:
            assert GREETING in [turn.text for turn in await live.turns()]

    await with_each([*FROM_THE_CONNECTION_ON, *LATER], check)


async def test_the_pipeline_takes_over_in_the_middle_of_a_call(db: Database, tmp_path: Path) -> None:
    async def check(fault: BotFault) -> None:
        async def talk(stream: BotStream) -> None:
            await stream.say(600)
            await until(lambda: sum(map(bool, stream.heard)) > 16 * 900, 20)
            await asyncio.sleep(0.5)
            bot.fault = fault
            await bot.speak(stream, 8_000)

        async with fake_bot(talk) as bot, held_by(bot.url, db, tmp_path, patience_ms=2_000) as live:
            await until(lambda: live.leg.queued_ms, 10)
            await until(lambda: not live.leg.queued_ms, 10)
            live.leg.say(noise(1200))
            await _goes_on(live, watched(live))
        assert GREETING not in [turn.text for turn in await live.turns()]

    await with_each(LATER, check)


async def test_a_bot_whose_process_hangs_is_noticed_whatever_its_patience(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def talk(_stream: BotStream) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(line, "HEARTBEAT", timedelta(seconds=1))
    async with fake_bot(talk, BotFault.FROZEN) as bot, held_by(bot.url, db, tmp_path, patience_ms=0) as live:
        await _goes_on(live, watched(live))
        [switch] = await live.degraded()
    assert switch["why"] == "failed"
    assert bot.streams[0].events == ["connected", "start"]


async def _goes_on(live: LiveCall, silence: Silence) -> None:
    """The pipeline says something, hears the callee and answers."""
    async with asyncio.timeout(25):
        while not (degraded := await live.degraded()):  # noqa: ASYNC110 - another task writes
            await asyncio.sleep(0.05)
    spoken = await live.agent_has_spoken(degraded[0]["at_ms"])
    live.leg.say(noise(1200, 2))
    await live.agent_has_spoken(spoken.end_ms)
    live.leg.end()
    call = await live.ended()
    assert (call.status, call.reason, call.fault) == ("completed", "callee_hung_up", "none")
    assert silence.longest_ms <= LONGEST_SILENCE_MS
    [switch] = await live.degraded()
    assert (switch["stage"], switch["engine"], switch["successor"]) == ("s2s", "pipecat", "pipeline")


def watched(live: LiveCall) -> Silence:
    silence = Silence()
    live.leg.on_played_frame(lambda frame: silence.hear(frame, is_owed=not live.leg.callee_is_speaking))
    return silence
