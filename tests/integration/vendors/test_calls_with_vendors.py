"""Calls whose agents hear, think and speak with vendors, on a real database and a carrier without a network."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
import structlog
from pydantic import HttpUrl, SecretStr

from call_service.calls import repository
from call_service.calls.domain import Call, CallTurn
from call_service.calls.wrap_up import Analyzer
from call_service.carriers.port import FRAME_MS
from call_service.dialer.runner import CallRunner
from call_service.kept import Kept
from call_service.projects import ProjectServiceUnavailableError, VendorKey
from call_service.vendors.equipment import Vendors, equipped
from call_service.vendors.models import AgentModels, Sessions
from call_service.vendors.recognition.whisper import WhisperRecognizer
from call_service.vendors.synthesis.vendor import VendorSynthesizer
from call_service.voice.brain import build_brain
from call_service.voice.engines.bundle import Extras, load_engines
from call_service.voice.engines.null import NullRecognizer
from call_service.voice.memory_leg import MemoryLeg
from call_service.voice.options import Phrases
from shared.db import Database
from tests.integration.vendors.test_language_model_vendors import START, STOP, TEXT_BLOCK, event, text
from tests.support.calls import claim
from tests.support.fake_vendors import KEY, FakeVendors, Fault, fake_vendors
from tests.support.sip_peers import until
from tests.support.workers import LEASE, Switchboard, queue, read, tools

CHOICE = {
    "stt": {"provider": "deepgram", "model": None, "options": {}, "fallbacks": [{"provider": "openai", "model": None}]},
    "llm": {"provider": "anthropic", "model": "claude-haiku-4-5", "options": {}, "fallbacks": []},
    "tts": {"provider": "cartesia", "model": None, "voice": "694f9389", "options": {}, "fallbacks": []},
}
ENDS = event("content_block_start", index=1, content_block={"type": "tool_use", "id": "t1", "name": "end_call"})


LONGEST_SILENCE_MS = 4_000  # 2.5 s, shown in virtual time, and what a busy machine adds


@dataclass
class Silence:
    """How long the callee heard nothing while it was owed an answer."""

    longest_ms: int = 0
    _ms: int = 0

    def hear(self, frame: bytes, *, is_owed: bool) -> None:
        self._ms = self._ms + FRAME_MS if is_owed and not any(frame) else 0
        self.longest_ms = max(self.longest_ms, self._ms)


@dataclass
class Keys:
    """The keys of every project, as project_service hands them out."""

    named: tuple[str, ...] = ("deepgram", "openai", "anthropic", "cartesia")
    is_down: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def provider_keys(self, tenant: str, project_id: str) -> Mapping[str, VendorKey]:
        self.asked.append((tenant, project_id))
        if self.is_down:
            raise ProjectServiceUnavailableError
        return {name: VendorKey(SecretStr(KEY), None) for name in self.named}


@asynccontextmanager
async def reaching(vendors: FakeVendors, keys: Keys) -> AsyncIterator[Vendors]:
    sessions = Sessions(allow_private=True)
    try:
        yield Vendors(
            Kept(keys.provider_keys), sessions, {name: HttpUrl(url) for name, url in vendors.base_urls.items()}
        )
    finally:
        await sessions.close()


async def claimed(db: Database, **agent: Any) -> Call:
    await queue(db, providers=CHOICE, **agent)
    [call] = await claim(db, "worker", LEASE, 1)
    return call


async def test_a_whole_call_is_heard_thought_and_spoken_by_vendors(db: Database, tmp_path: Path) -> None:
    board, keys = Switchboard(answers=0.05), Keys()
    reply = [START, TEXT_BLOCK, text("Thank you, "), text("Anna. Bye!"), ENDS, STOP]
    prices = {"anthropic/claude-haiku-4-5": {"tokens_in": Decimal(1), "tokens_out": Decimal(5)}}
    with structlog.testing.capture_logs() as logs:
        async with fake_vendors(texts=["I am Anna."], reply=reply) as vendors, reaching(vendors, keys) as reached:
            call = await claimed(db)
            at_hand = replace(await tools(db, board, tmp_path), vendors=reached, price_per_minute=Decimal("0.06"))
            at_hand = replace(at_hand, wrap_up=replace(at_hand.wrap_up, prices=prices))
            running = asyncio.create_task(CallRunner(call, at_hand).run())
            await until(lambda: board.legs)
            leg: MemoryLeg = board.legs[call.id]
            await until(lambda: sum("tts/bytes" in path for path, _ in vendors.requests) >= 2)
            await until(lambda: leg.queued_ms == 0, 20)
            leg.say(Random(1).randbytes(2 * 8 * 1200))  # a tone would be the beep of a machine
            async with asyncio.timeout(30):
                await running
            await board.close()
            assert vendors.open_sockets == 0
    ended = await read(db, call.id)
    assert (ended.status, ended.reason, ended.fault) == ("completed", "agent_hung_up", "none")
    turns = await repository.turns(db, call.id)
    assert [(turn.role, turn.text) for turn in turns][-2:] == [
        ("user", "I am Anna."),
        ("agent", "Thank you, Anna. Bye!"),
    ]
    assert keys.asked == [(call.tenant, call.project_id)]
    [used] = [entry for entry in logs if entry["event"] == "vendors used"]
    assert (used["anthropic.tokens_in"], used["anthropic.tokens_out"]) == (30, 15)
    assert used["cartesia.characters"] > 20
    assert used["deepgram.seconds"] > 2
    costs = {(line["kind"], line["provider"], line["model"], line["unit"]): line["cost"] for line in ended.costs}
    assert costs["carrier", "switchboard", "", "seconds"] == ended.seconds * 0.001
    assert costs["llm", "anthropic", "claude-haiku-4-5", "tokens_in"] == 0.00003
    assert costs["llm", "anthropic", "claude-haiku-4-5", "tokens_out"] == 0.000075
    assert costs["tts", "cartesia", "sonic-3", "characters"] == costs["stt", "deepgram", "nova-3", "seconds"] == 0
    assert ended.cost == sum(Decimal(str(line["cost"])) for line in ended.costs)
    assert KEY not in str(logs)
    for table in await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'calls'"):
        rows = await db.fetch(f'SELECT t::text AS row FROM calls."{table["tablename"]}" t')
        assert not any(KEY in row["row"] for row in rows), table["tablename"]


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE])
async def test_local_speech_takes_over_from_vendors_that_fail(db: Database, tmp_path: Path, fault: Fault) -> None:
    board = Switchboard(answers=0.05)
    never = {"texts": ["Never."] * 9, "reply": [START]}
    async with fake_vendors(fault=fault, **never) as vendors, reaching(vendors, Keys()) as reached:
        call = await claimed(db, silenceTimeoutSeconds=30)
        at_hand = replace(await tools(db, board, tmp_path), vendors=reached)
        running = asyncio.create_task(CallRunner(call, at_hand).run())

        async def said() -> list[CallTurn]:
            """Without what fills the time until somebody has taken over."""
            return [turn for turn in await repository.turns(db, call.id) if turn.text not in Phrases().fillers]

        async def spoken(count: int) -> None:
            async with asyncio.timeout(20):
                while len(await said()) < count:  # noqa: ASYNC110 - another task writes
                    await asyncio.sleep(0.05)

        await spoken(1)
        leg, silence = board.legs[call.id], Silence()
        leg.on_played_frame(lambda frame: silence.hear(frame, is_owed=not leg.callee_is_speaking))
        leg.say(Random(1).randbytes(2 * 8 * 1800))
        await spoken(3)
        leg.end()
        async with asyncio.timeout(30):
            await running
        await board.close()
    ended = await read(db, call.id)
    assert (ended.status, ended.reason, ended.fault) == ("completed", "callee_hung_up", "none")
    assert silence.longest_ms <= LONGEST_SILENCE_MS
    turns = await said()
    assert turns[0].text == call.agent["firstMessage"]
    understood = "(so far)" if fault is Fault.DRIBBLE else "Yes, please."  # else what the null engine hears
    assert turns[1].text == understood
    assert turns[2].role == "agent"


@pytest.mark.parametrize(
    ("keys", "reason", "fault"),
    [
        (Keys(named=("deepgram", "openai", "anthropic")), "provider_key_missing", "tenant"),
        (Keys(is_down=True), "provider_keys_unknown", "platform"),
    ],
)
async def test_nobody_is_dialled_who_could_not_be_talked_to(
    db: Database, tmp_path: Path, keys: Keys, reason: str, fault: str
) -> None:
    board = Switchboard()
    async with fake_vendors() as vendors, reaching(vendors, keys) as reached:
        call = await claimed(db)
        await CallRunner(call, replace(await tools(db, board, tmp_path), vendors=reached)).run()
    ended = await read(db, call.id)
    assert (ended.status, ended.reason, ended.fault) == ("failed", reason, fault)
    assert ended.completed_at is not None
    assert board.asked == []


async def test_local_engines_stand_behind_vendors_where_they_know_the_language(db: Database) -> None:
    local, brain = await load_engines("null"), build_brain(None)
    async with fake_vendors() as vendors, reaching(vendors, Keys()) as reached:
        async with equipped(await claimed(db, language="en-GB"), local, brain, reached) as english:
            assert [type(one).__name__ for _, one in english.recognizers] == [
                "StreamingRecognizer",
                "WhisperRecognizer",
                "NullRecognizer",
            ]
            assert [type(one).__name__ for _, one in english.brains] == ["LlmBrain", "BuiltinBrain"]
            assert [type(one).__name__ for _, one in english.synthesizers] == ["VendorSynthesizer", "NullSynthesizer"]
        async with equipped(await claimed(db, language="de-DE"), local, brain, reached) as german:
            assert isinstance(german.recognizers[-1][1], WhisperRecognizer)
            assert [type(one).__name__ for _, one in german.brains] == ["LlmBrain"]
            assert isinstance(german.synthesizers[-1][1], VendorSynthesizer)


async def test_an_agent_without_vendors_asks_for_no_keys(db: Database) -> None:
    local, brain, keys = await load_engines("null"), build_brain(None), Keys()
    await queue(db)
    [call] = await claim(db, "worker", LEASE, 1)
    async with (
        fake_vendors() as vendors,
        reaching(vendors, keys) as reached,
        equipped(call, local, brain, reached) as equipment,
    ):
        assert (equipment.recognizers, equipment.brains) == ([("local", local.recognizer)], [("local", brain)])
    assert keys.asked == []


async def test_a_call_is_analysed_by_the_model_that_the_agent_has_chosen(db: Database, tmp_path: Path) -> None:
    found = {"sentiment": "positive", "summary": "Anna called.", "answers": [{"answer": "Yes", "reason": None}]}
    body = {"choices": [{"message": {"content": json.dumps(found)}, "finish_reason": "stop"}]}
    counted = body | {"usage": {"prompt_tokens": 400, "completion_tokens": 50}}
    llm = {"provider": "openai", "model": "gpt-4o", "options": {}, "fallbacks": []}
    question = {"question": "Was it Anna?", "type": "Boolean", "options": None}
    board, keys = Switchboard(answers=0.05), Keys()
    async with fake_vendors(completion=counted) as vendors, reaching(vendors, keys) as reached:
        await queue(db, providers={"llm": llm}, firstMessage="Hello Anna.", analysisQuestions=[question])
        [call] = await claim(db, "worker", LEASE, 1)
        at_hand = replace(await tools(db, board, tmp_path), vendors=reached)
        analyzer = Analyzer(None, AgentModels(reached.keys, reached.sessions, reached.base_urls))
        wrap_up = replace(at_hand.wrap_up, analyzer=analyzer, prices={"openai": {"tokens_in": Decimal(10)}})
        running = asyncio.create_task(CallRunner(call, replace(at_hand, wrap_up=wrap_up)).run())
        await until(lambda: board.legs and board.legs[call.id].queued_ms)
        await until(lambda: board.legs[call.id].queued_ms == 0, 20)
        board.legs[call.id].end()
        async with asyncio.timeout(30):
            await running
        await board.close()
        assert [body["model"] for _, body in vendors.requests] == ["gpt-4o"]
    completed = await read(db, call.id)
    assert completed.completed_at is not None
    assert completed.analysis is not None
    assert (completed.analysis["source"], completed.analysis["summary"]) == ("llm", "Anna called.")
    assert completed.analysis["custom_analysis_data"] == {"Was it Anna?": "Yes"}
    used = {line["unit"]: line["amount"] for line in completed.costs if line["kind"] == "llm"}
    assert used == {"tokens_in": 400, "tokens_out": 50}
    assert completed.cost == Decimal("0.004")


async def test_rules_analyse_where_the_agents_model_fails(db: Database, tmp_path: Path) -> None:
    async with fake_vendors(fault=Fault.EXPIRED) as vendors, reaching(vendors, Keys()) as reached:
        call = await claimed(db)
        analyzer = Analyzer(None, AgentModels(reached.keys, reached.sessions, reached.base_urls))
        found = await analyzer.analyze(call, [], [])
    assert (found["source"], len(vendors.requests)) == ("rules", 1)
    async with fake_vendors() as vendors, reaching(vendors, Keys(is_down=True)) as reached:
        analyzer = Analyzer(None, AgentModels(reached.keys, reached.sessions, reached.base_urls))
        assert (await analyzer.analyze(call, [], []))["source"] == "rules"
        assert vendors.requests == []


LOCAL_CHOICE = {
    "stt": {"provider": "faster_whisper", "fallbacks": [{"provider": "deepgram"}]},
    "llm": {"provider": "xllamacpp"},
    "tts": {"provider": "kokoro", "voice": "bm_george"},
}


async def test_engines_that_the_operator_has_models_for_are_chosen_by_name(db: Database) -> None:
    asked: list[str] = []

    class Kokoro:
        async def synthesize(self, text: str, voice_id: str) -> bytes:
            asked.append(voice_id)
            return b""

    def whisper(language: str) -> NullRecognizer:
        asked.append(language)
        return NullRecognizer()

    llama, keys = build_brain(None), Keys()
    extras = Extras(whisper=whisper, llama=llama, kokoro=Kokoro())
    local = replace(await load_engines("null"), extras=extras)
    await queue(db, providers=LOCAL_CHOICE, language="de-DE", voice_id="heart")
    [call] = await claim(db, "worker", LEASE, 1)
    async with (
        fake_vendors() as vendors,
        reaching(vendors, keys) as reached,
        equipped(call, local, build_brain(None), reached) as chosen,
    ):
        assert [name for name, _ in chosen.recognizers] == ["faster_whisper", "deepgram"]
        assert chosen.brains == [("xllamacpp", llama)]
        [(_, voice)] = chosen.synthesizers
        await voice.synthesize("Hallo.", "heart")
    assert asked == ["de-DE", "bm_george"]
    assert keys.asked == [(call.tenant, call.project_id)]  # for the fallback


async def test_a_worker_without_the_model_dials_nobody(db: Database, tmp_path: Path) -> None:
    board, keys = Switchboard(), Keys()
    async with fake_vendors() as vendors, reaching(vendors, keys) as reached:
        await queue(db, providers={"tts": LOCAL_CHOICE["tts"]})
        [call] = await claim(db, "worker", LEASE, 1)
        await CallRunner(call, replace(await tools(db, board, tmp_path), vendors=reached)).run()
    ended = await read(db, call.id)
    assert (ended.status, ended.reason, ended.fault) == ("failed", "engine_missing", "platform")
    assert (board.asked, keys.asked) == ([], [])
