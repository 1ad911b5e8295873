"""Calls that a model holds which hears and speaks itself, on a real database and a carrier without a network."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
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
from call_service.tools.building import Tooling
from call_service.tools.embedding import HashedWords
from call_service.tools.library import Library
from call_service.voice.engines.bundle import Engines, load_engines
from call_service.voice.memory_leg import MemoryLeg
from call_service.voice.options import Phrases
from call_service.voice.ports import Brain
from shared.db import Database
from shared.http_client import GuardedClient
from tests.integration.call_service.test_calls_with_tools import Projects
from tests.integration.vendors.test_calls_with_vendors import LONGEST_SILENCE_MS, Keys, Silence, reaching
from tests.support.calls import claim
from tests.support.fake_realtime import Reply
from tests.support.fake_vendors import KEY, FakeVendors, Fault, fake_vendors
from tests.support.sip_peers import until
from tests.support.workers import LEASE, Switchboard, queue, read, tools

CHOICE = {"s2s": {"provider": "openai", "model": "gpt-realtime-2.1", "voice": "marin", "options": {"speed": 1.1}}}
GREETING = "Hello, this is Bright Dental."


def noise(ms: int, seed: int = 1) -> bytes:
    """Voice as the null engines know it; a tone would be the beep of a machine."""
    return Random(seed).randbytes(2 * 8 * ms)


@dataclass
class LiveCall:
    db: Database
    call: Call
    board: Switchboard
    leg: MemoryLeg
    vendors: FakeVendors
    running: asyncio.Task[None]

    def sent(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.vendors.sessions[0].received if event["type"] == kind]

    async def said(self) -> list[CallTurn]:
        """Without what fills the time until somebody has taken over."""
        return [turn for turn in await repository.turns(self.db, self.call.id) if turn.text not in Phrases().fillers]

    async def spoken(self, count: int) -> list[CallTurn]:
        async with asyncio.timeout(25):
            while len(turns := await self.said()) < count:  # noqa: ASYNC110 - another task writes
                await asyncio.sleep(0.05)
        return turns


@asynccontextmanager
async def talking(
    db: Database,
    tmp_path: Path,
    azure: dict[str, Any] | None = None,
    engines: Engines | None = None,
    brain: Brain | None = None,
    projects: Projects | None = None,
    agent: Mapping[str, Any] | None = None,
    **state: Any,
) -> AsyncIterator[LiveCall]:
    """A call until it ends; what the model answers is in `state`.

    `engines` are the local ones instead of none, `brain` is the pipeline's, `projects` know what the tools of `agent`
    need.
    """
    board, known = Switchboard(answers=0.05), projects or Projects()
    async with (
        fake_vendors(**state) as vendors,
        reaching(vendors, AzureKeys(vendors) if azure else Keys(named=("openai",))) as reached,
        GuardedClient(allow_private=True) as client,
    ):
        settings = {"providers": azure or CHOICE, "firstMessage": GREETING, "silenceTimeoutSeconds": 30}
        await queue(db, **settings, **(agent or {}))
        [call] = await claim(db, "worker", LEASE, 1)
        tooling = Tooling(client, Kept(known.tool_secrets), Library(known, HashedWords()))
        at_hand = replace(await tools(db, board, tmp_path), vendors=replace(reached, tooling=tooling))
        at_hand = replace(at_hand, engines=engines or at_hand.engines, brain=brain or at_hand.brain)
        running = asyncio.create_task(CallRunner(call, at_hand).run())
        await until(lambda: board.legs)
        yield LiveCall(db, call, board, board.legs[call.id], vendors, running)
        async with asyncio.timeout(30):
            await running
        await board.close()
        await until(lambda: vendors.open_sockets == 0)
        assert [complaint for session in vendors.sessions for complaint in session.complaints] == []


async def test_a_whole_call_is_held_by_a_model_that_hears_and_speaks(db: Database, tmp_path: Path) -> None:
    farewell = Reply("Thank you, Anna. Bye!", 1.0, [("collect", {"field": "name", "value": "Anna"}), ("end_call", {})])
    async with talking(db, tmp_path, texts=["I am Anna."], spoken=[Reply(GREETING, 1.0), farewell]) as live:
        await live.spoken(1)
        live.leg.say(noise(1200))
    ended = await read(db, live.call.id)
    assert (ended.status, ended.reason, ended.fault) == ("completed", "agent_hung_up", "none")
    assert ended.data == {"name": "Anna"}
    assert ended.recording is not None
    turns = sorted(await live.said(), key=lambda turn: turn.start_ms)
    assert [(turn.role, turn.text, turn.interrupted) for turn in turns] == [
        ("agent", GREETING, False),
        ("user", "I am Anna.", False),
        ("agent", "Thank you, Anna. Bye!", False),
    ]
    [update] = live.sent("session.update")
    session = update["session"]
    assert session["audio"]["input"]["format"] == session["audio"]["output"]["format"] == {"type": "audio/pcmu"}
    assert session["audio"]["output"] | {"voice": "marin", "speed": 1.1} == session["audio"]["output"]
    assert [tool["name"] for tool in session["tools"]][:2] == ["collect", "end_call"]
    assert GREETING in live.sent("conversation.item.create")[0]["item"]["content"][0]["text"]
    heard = sum(len(event["audio"]) * 3 // 4 for event in live.sent("input_audio_buffer.append"))
    assert 8 * 1200 <= heard <= 8 * 1700  # the utterance, and neither the silence around it nor anything twice
    assert [request for request, _ in live.vendors.requests] == ["/openai/realtime?model=gpt-realtime-2.1"]
    assert KEY in live.vendors.headers[0]["Authorization"]


class AzureKeys(Keys):
    def __init__(self, vendors: FakeVendors) -> None:
        super().__init__()
        self._url = f"{vendors.url}/openai/"

    async def provider_keys(self, tenant: str, project_id: str) -> Mapping[str, VendorKey]:
        return {"azure_openai": VendorKey(SecretStr(KEY), self._url)}


async def test_a_deployment_at_azure_holds_a_call_too(db: Database, tmp_path: Path) -> None:
    options = {"transcription_model": "my-transcription"}
    choice = {"s2s": {"provider": "azure_openai", "model": "my-talk", "voice": "cedar", "options": options}}
    async with talking(db, tmp_path, spoken=[Reply("Bye!", 0.6, [("end_call", {})])], azure=choice) as live:
        pass
    assert [(turn.role, turn.text) for turn in await live.said()] == [("agent", "Bye!")]
    assert live.vendors.requests[0][0] == "/openai/realtime?model=my-talk"
    assert live.vendors.headers[0]["api-key"] == KEY
    sent = live.sent("session.update")[0]["session"]["audio"]
    assert (sent["input"]["transcription"]["model"], sent["output"]["voice"]) == ("my-transcription", "cedar")


async def test_its_turns_have_times_and_what_it_is_charged_for(db: Database, tmp_path: Path) -> None:
    spoken = [Reply(GREETING, 0.6), Reply("Bye!", 0.6, [("end_call", {})])]
    async with talking(db, tmp_path, texts=["Yes."], spoken=spoken) as live:
        await live.spoken(1)
        live.leg.say(noise(800))
    told = await timeline(db, live.call.id)
    answer = told.turns[-1].timings
    assert answer["voice_to_voice_ms"] > 0
    assert answer["brain_ms"] >= 0
    assert answer["playout_ms"] == 600
    assert {name: spread.count for name, spread in told.percentiles.items()}["voice_to_voice_ms"] == 1
    used: dict[str, float] = {}
    for turn in told.turns:
        for unit, amount in turn.timings.get("usage", {}).items():
            used[unit] = used.get(unit, 0) + amount
    assert used == {
        "openai.tokens_in": 2 * 55,
        "openai.audio_tokens_in": 2 * 13,
        "openai.cached_tokens_in": 2 * 64,
        "openai.tokens_out": 2 * 30,
        "openai.audio_tokens_out": 2 * 91,
        "openai.transcription_tokens_in": 13,
        "openai.transcription_tokens_out": 9,
    }


async def test_the_model_learns_what_was_heard_of_an_answer_that_was_interrupted(db: Database, tmp_path: Path) -> None:
    words = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen."
    spoken = [Reply(GREETING, 0.6), Reply(words, 8.0), Reply("Sure. Bye!", 0.6, [("end_call", {})])]
    async with talking(db, tmp_path, texts=["Count.", "Stop it please."], spoken=spoken) as live:
        await live.spoken(1)
        frames: list[bytes] = []
        live.leg.on_played_frame(frames.append)
        live.leg.say(noise(800))
        await until(lambda: sum(map(any, frames)) * FRAME_MS >= 2000, 20)
        live.leg.say(noise(1500, 2))
        turns = await live.spoken(5)
    [cut] = live.sent("conversation.item.truncate")
    [interrupted] = [turn for turn in turns if turn.interrupted]
    assert 2000 <= cut["audio_end_ms"] <= 3000
    assert cut["audio_end_ms"] == interrupted.end_ms - interrupted.start_ms
    assert words.startswith(interrupted.text)
    assert 3 <= len(interrupted.text.split()) <= 7
    kinds = [event["type"] for event in live.vendors.sessions[0].received]
    assert kinds.index("conversation.item.truncate") < len(kinds) - 1 - kinds[::-1].index("response.create")


async def test_an_answer_that_still_comes_is_cancelled(db: Database, tmp_path: Path) -> None:
    spoken = [Reply(GREETING, 0.6), Reply("Well " * 100, 40.0), Reply("Bye!", 0.6, [("end_call", {})])]
    async with talking(db, tmp_path, texts=["Talk.", "Stop it please."], spoken=spoken) as live:
        await live.spoken(1)
        live.leg.say(noise(800))
        await until(lambda: live.leg.queued_ms > 1000, 20)
        live.leg.say(noise(1500, 2))
    assert len(live.sent("response.cancel")) == 1
    assert len(live.sent("response.create")) == 3


async def test_an_uh_huh_does_not_stop_it(db: Database, tmp_path: Path) -> None:
    spoken = [
        Reply(GREETING, 0.6),
        Reply("So that is how it is done here.", 5.0),
        Reply("Bye!", 0.6, [("end_call", {})]),
    ]
    async with talking(db, tmp_path, texts=["Tell me.", "Uh-huh.", "Thanks."], spoken=spoken) as live:
        await live.spoken(1)
        live.leg.say(noise(800))
        await until(lambda: live.leg.queued_ms > 2000, 20)
        live.leg.say(noise(300, 2))
        turns = await live.spoken(4)
        assert live.sent("conversation.item.truncate") == []
        live.leg.say(noise(800, 3))
    assert ("So that is how it is done here.", False) in [(turn.text, turn.interrupted) for turn in turns]


async def test_keys_reach_it_in_words_and_what_was_said_without_it_too(db: Database, tmp_path: Path) -> None:
    spoken = [Reply(GREETING, 0.6), Reply("Four two. Bye!", 0.6, [("end_call", {})])]
    async with talking(db, tmp_path, spoken=spoken) as live:
        await live.spoken(1)
        live.leg.emit(DtmfReceived("4"))
        live.leg.emit(DtmfReceived("2"))
    told = live.sent("conversation.item.create")
    assert [(event["item"]["role"], event["item"]["content"][0]["text"]) for event in told if "role" in event["item"]][
        1:
    ] == [("user", "42")]


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE])
async def test_the_pipeline_takes_over_from_a_model_that_fails_from_the_start(
    db: Database, tmp_path: Path, fault: Fault
) -> None:
    async with talking(db, tmp_path, fault=fault, spoken=[Reply("Never heard, or half of it. " * 4, 8.0)] * 9) as live:
        await _fails(live, 1)
        [first, *_] = await live.said()
    if fault not in {Fault.CUT, Fault.DRIBBLE}:
        assert first.text == GREETING


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.DRIBBLE, Fault.CUT, Fault.GARBAGE, Fault.BUSY])
async def test_the_pipeline_takes_over_in_the_middle_of_a_call(db: Database, tmp_path: Path, fault: Fault) -> None:
    spoken = [Reply(GREETING, 0.6), *[Reply("Never heard, or half of it. " * 4, 8.0)] * 9]
    async with talking(db, tmp_path, spoken=spoken) as live:
        await live.spoken(1)
        live.vendors.fault = fault
        await _fails(live, 1)


async def test_the_local_engines_understand_and_answer_what_the_model_did_not(db: Database, tmp_path: Path) -> None:
    local = await load_engines("local")
    question = await local.synthesizer.synthesize("What are your opening hours?", "heart")
    spoken = [Reply(GREETING, 1.0), Reply("Never heard.", 1.0)]
    try:
        async with talking(db, tmp_path, engines=local, spoken=spoken) as live:
            await live.spoken(1)
            live.vendors.fault = Fault.HANG
            silence = Silence()
            live.leg.on_played_frame(lambda frame: silence.hear(frame, is_owed=not live.leg.callee_is_speaking))
            live.leg.say(question)
            turns = sorted(await live.spoken(3), key=lambda turn: turn.start_ms)
            live.leg.end()
    finally:
        local.close()
    assert silence.longest_ms <= LONGEST_SILENCE_MS
    assert "opening hours" in turns[1].text.lower()
    assert "nine" in turns[2].text


async def _fails(live: LiveCall, before: int) -> None:
    await live.spoken(before)
    silence = Silence()
    live.leg.on_played_frame(lambda frame: silence.hear(frame, is_owed=not live.leg.callee_is_speaking))
    live.leg.say(noise(1800))
    turns = await live.spoken(before + 2)
    live.leg.end()
    async with asyncio.timeout(30):
        await live.running
    ended = await read(live.db, live.call.id)
    assert (ended.status, ended.reason, ended.fault) == ("completed", "callee_hung_up", "none")
    assert silence.longest_ms <= LONGEST_SILENCE_MS
    assert [turn.role for turn in turns].count("agent") >= 2
    [happened] = [one for one in (await timeline(live.db, live.call.id)).happened if one.type == "call.degraded"]
    assert (happened.data["stage"], happened.data["engine"], happened.data["successor"]) == (
        "s2s",
        "openai",
        "pipeline",
    )
