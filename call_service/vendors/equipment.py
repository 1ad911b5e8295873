"""What one call hears, thinks and speaks with: the agent's vendors, and the local engines where it has none."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NamedTuple

import structlog
from prometheus_client import Counter
from pydantic import HttpUrl

from call_service.calls.domain import Call
from call_service.kept import Kept
from call_service.projects import VendorKey
from call_service.spoken.languages import is_english
from call_service.tools.building import Tooling
from call_service.tools.toolbox import Toolbox
from call_service.vendors.building import Builder
from call_service.vendors.choice import choices_of
from call_service.vendors.local import brain_of, is_local, recognizer_of, synthesizer_of
from call_service.vendors.media_streams.line import MediaStreamLine
from call_service.vendors.media_streams.messages import PATIENCE_OPTION
from call_service.vendors.models import Sessions
from call_service.vendors.realtime.line import RealtimeLine
from call_service.vendors.recognition.streaming import StreamingRecognizer
from call_service.vendors.synthesis.vendor import SpeechCache, new_cache
from call_service.vendors.usage import Used, by_unit
from call_service.voice.bot_session import session_of
from call_service.voice.bots import PATIENCE, BotAtWork
from call_service.voice.brain import BuiltinBrain, LlmBrain
from call_service.voice.direct import DirectConversation, DirectRecognizer
from call_service.voice.engines.bundle import Engines
from call_service.voice.fallback import Chain, FallbackConversation, FallbackRecognizer, FallbackSynthesizer, Switch
from call_service.voice.ports import AgentProfile, Brain, Conversation, Recognizer, Synthesizer
from call_service.voice.session import VoiceSession
from shared.providers import STAGES

log = structlog.get_logger(__name__)

SWITCHES = Counter("talkstack_engine_switches", "Engines that another took over from.", ["stage", "engine", "why"])
LOCAL = "local"
BOT = "pipecat"


@dataclass(frozen=True, slots=True)
class Vendors:
    """How a worker reaches vendors, and what agents' tools lead to."""

    keys: Kept[Mapping[str, VendorKey]]
    sessions: Sessions
    base_urls: Mapping[str, HttpUrl]
    cache: SpeechCache = field(default_factory=new_cache)
    tooling: Tooling | None = None  # without it agents can do what needs no connection


Switched = Callable[[Switch], None]


class BotChoice(NamedTuple):
    """A bot, who writes down what it says, and how long it may leave the callee without an answer."""

    name: str
    line: MediaStreamLine
    recognizer: Recognizer
    patience: timedelta | None


@dataclass(frozen=True, slots=True)
class Equipment:
    """Engines by name: the first is used, the others take over when it fails. None of the three is empty.

    Where there is a `speech_model`, it holds the conversation and they take over from it. It writes the transcript too,
    unless the agent has chosen who does. Where there is a `bot`, it holds the conversation, and they take over from it.
    """

    recognizers: Sequence[tuple[str, Recognizer]]
    brains: Sequence[tuple[str, Brain]]
    synthesizers: Sequence[tuple[str, Synthesizer]]
    hear: Callable[[bytes], None]
    usage: Mapping[Used, float] = field(default_factory=dict)  # so far
    speech_model: tuple[str, RealtimeLine] | None = None
    has_own_recognizer: bool = False
    bot: BotChoice | None = None
    tools: Toolbox = field(default_factory=Toolbox)

    def engines(self, local: Engines, on_switch: Switched) -> Engines:
        """`local` with the ears and the voice of this call."""
        recognizer = self._recognizer(on_switch)
        if self.speech_model and not self.has_own_recognizer:
            recognizer = DirectRecognizer(self.speech_model[1], recognizer)
        return replace(
            local,
            recognizer=recognizer,
            synthesizer=FallbackSynthesizer(Chain("tts", self.synthesizers, on_switch))
            if len(self.synthesizers) > 1
            else self.synthesizers[0][1],
            hear=self.hear,
        )

    def conversation(self, profile: AgentProfile, repeat: str, on_switch: Switched) -> Conversation:
        """The conversation of this call; `repeat` is said where no brain has an answer."""
        conversations = [(name, brain.converse(profile, self.tools)) for name, brain in self.brains]
        pipeline = FallbackConversation(Chain("llm", conversations, on_switch), repeat)
        if self.speech_model is None:
            return pipeline
        self.speech_model[1].begin(profile, self.tools)
        return DirectConversation(self.speech_model, profile, self._recognizer(on_switch), pipeline, on_switch)

    def session(self, on_switch: Switched) -> Callable[..., VoiceSession]:
        """What makes the session of this call: takes what `VoiceSession` does."""
        if self.bot is None:
            return VoiceSession
        name, line, recognizer, patience = self.bot
        return session_of(BotAtWork(name, line, recognizer, on_switch, patience))

    def _recognizer(self, on_switch: Switched) -> Recognizer:
        if len(self.recognizers) == 1:
            return self.recognizers[0][1]
        return FallbackRecognizer(Chain("stt", self.recognizers, on_switch))


def count_switch(switch: Switch) -> None:
    """An engine of a call took over from another."""
    SWITCHES.labels(switch.stage, switch.engine, switch.why).inc()
    log.warning("engine switched", stage=switch.stage, engine=switch.engine, successor=switch.successor, why=switch.why)


@asynccontextmanager
async def equipped(call: Call, local: Engines, brain: Brain, vendors: Vendors) -> AsyncIterator[Equipment]:
    """For the block; connections to vendors are closed after it. `local` and `brain` are shared by all calls.

    Raises:
        KeyMissingError: a key was deleted since the call was made; EngineMissingError: a local engine is not here.
        ProjectServiceUnavailableError: the keys can't be had.
    """
    tools = vendors.tooling.toolbox(call) if vendors.tooling else Toolbox()
    try:
        async with _engines(call, local, brain, vendors) as equipment:
            yield replace(equipment, tools=tools)
    finally:
        await tools.close()


@asynccontextmanager
async def _engines(call: Call, local: Engines, brain: Brain, vendors: Vendors) -> AsyncIterator[Equipment]:
    chosen = {stage: choices_of(call.agent, stage) for stage in STAGES}
    if not any(chosen.values()):
        yield Equipment([(LOCAL, local.recognizer)], [(LOCAL, brain)], [(LOCAL, local.synthesizer)], local.hear)
        return
    language = call.agent["language"]
    needs_keys = any(not is_local(one) for choices in chosen.values() for one in choices)
    keys = await vendors.keys.of(call.tenant, call.project_id) if needs_keys else {}
    builder = Builder(vendors.sessions, vendors.base_urls, keys, vendors.cache, language)
    recognizers: list[tuple[str, Recognizer]] = [
        (one.provider, recognizer_of(one, local.extras, language) if is_local(one) else builder.recognizer(one))
        for one in chosen["stt"]
    ]
    synthesizers: list[tuple[str, Synthesizer]] = [
        (one.provider, synthesizer_of(one, local.extras) if is_local(one) else builder.synthesizer(one))
        for one in chosen["tts"]
    ]
    brains: list[tuple[str, Brain]] = [
        (one.provider, brain_of(one, local.extras) if is_local(one) else LlmBrain(builder.llm(one)))
        for one in chosen["llm"]
    ]
    models = [(one.provider, builder.speech_model(one)) for one in chosen["s2s"] if one.provider != BOT]
    # The local engines know English only: in another language they would be no help.
    has_local = is_english(language)
    has_brain = has_local or not isinstance(brain, BuiltinBrain)
    bot = _bot_of(call, builder, local)
    for _name, model in models:
        model.open()
    try:
        yield Equipment(
            [*recognizers, *([(LOCAL, local.recognizer)] if has_local or not recognizers else [])],
            [*brains, *([(LOCAL, brain)] if has_brain or not brains else [])],
            [*synthesizers, *([(LOCAL, local.synthesizer)] if has_local or not synthesizers else [])],
            _ear_of(recognizers[0][1]) if recognizers else local.hear,
            builder.totals,
            models[0] if models else None,
            has_own_recognizer=bool(recognizers),
            bot=bot,
        )
    finally:
        for line in (*(model for _name, model in models), *((bot.line,) if bot else ())):
            await line.close()
        for one in (*(one for _name, one in recognizers), *((bot.recognizer,) if bot else ())):
            if isinstance(one, StreamingRecognizer):
                await one.close()
        used = {what: round(amount, 1) for what, amount in by_unit(builder.totals).items()}
        log.info("vendors used", **used)


def _ear_of(primary: Recognizer) -> Callable[[bytes], None]:
    """Only the primary listens all the time: vendors charge for what they hear, and a fallback may never be asked."""
    return primary.hear if isinstance(primary, StreamingRecognizer) else lambda _frame: None


def _bot_of(call: Call, builder: Builder, local: Engines) -> BotChoice | None:
    """The agent's bot. What it says in English is written down by the local recogniser."""
    choice = next((one for one in choices_of(call.agent, "s2s") if one.provider == BOT), None)
    if choice is None:
        return None
    language, chosen = call.agent["language"], choices_of(call.agent, "stt")
    recognizer: Recognizer = local.recognizer
    if chosen and not is_english(language):
        first = chosen[0]
        is_here = is_local(first)
        recognizer = recognizer_of(first, local.extras, language) if is_here else builder.recognizer(first)
    patience_ms = choice.options.get(PATIENCE_OPTION)
    patience = PATIENCE if patience_ms is None else timedelta(milliseconds=patience_ms)
    return BotChoice(choice.provider, builder.bot(choice, call), recognizer, patience or None)
