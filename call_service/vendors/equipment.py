"""What one call hears, thinks and speaks with: the agent's vendors, and the local engines where it has none."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import structlog
from prometheus_client import Counter
from pydantic import HttpUrl

from call_service.calls.domain import Call
from call_service.vendors.building import Builder, Sessions
from call_service.vendors.choice import choices_of
from call_service.vendors.keys import KeyRing
from call_service.vendors.recognition.streaming import StreamingRecognizer
from call_service.vendors.synthesis.vendor import SpeechCache, new_cache
from call_service.voice.brain import BuiltinBrain, LlmBrain
from call_service.voice.engines.bundle import Engines
from call_service.voice.fallback import Chain, FallbackConversation, FallbackRecognizer, FallbackSynthesizer, Switch
from call_service.voice.ports import AgentProfile, Brain, Conversation, Recognizer, Synthesizer
from shared.providers import STAGES

log = structlog.get_logger(__name__)

SWITCHES = Counter("talkstack_engine_switches", "Engines that another took over from.", ["stage", "engine", "why"])
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Vendors:
    """How a worker reaches vendors."""

    keys: KeyRing
    sessions: Sessions
    base_urls: Mapping[str, HttpUrl]
    cache: SpeechCache = field(default_factory=new_cache)


Switched = Callable[[Switch], None]


@dataclass(frozen=True, slots=True)
class Equipment:
    """Engines by name: the first is used, the others take over when it fails. None is empty."""

    recognizers: Sequence[tuple[str, Recognizer]]
    brains: Sequence[tuple[str, Brain]]
    synthesizers: Sequence[tuple[str, Synthesizer]]
    hear: Callable[[bytes], None]
    usage: Mapping[tuple[str, str], float] = field(default_factory=dict)  # so far, by provider and unit

    def engines(self, local: Engines, on_switch: Switched) -> Engines:
        """`local` with the ears and the voice of this call."""
        return replace(
            local,
            recognizer=FallbackRecognizer(Chain("stt", self.recognizers, on_switch))
            if len(self.recognizers) > 1
            else self.recognizers[0][1],
            synthesizer=FallbackSynthesizer(Chain("tts", self.synthesizers, on_switch))
            if len(self.synthesizers) > 1
            else self.synthesizers[0][1],
            hear=self.hear,
        )

    def conversation(self, profile: AgentProfile, repeat: str, on_switch: Switched) -> Conversation:
        """The conversation of this call; `repeat` is said where no brain has an answer."""
        conversations = [(name, brain.converse(profile)) for name, brain in self.brains]
        return FallbackConversation(Chain("llm", conversations, on_switch), repeat)


def count_switch(switch: Switch) -> None:
    """An engine of a call took over from another."""
    SWITCHES.labels(switch.stage, switch.engine, switch.why).inc()
    log.warning("engine switched", stage=switch.stage, engine=switch.engine, successor=switch.successor, why=switch.why)


@asynccontextmanager
async def equipped(call: Call, local: Engines, brain: Brain, vendors: Vendors) -> AsyncIterator[Equipment]:
    """For the block; connections to vendors are closed after it. `local` and `brain` are shared by all calls.

    Raises:
        KeyMissingError: a key was deleted since the call was made.
        ProjectServiceUnavailableError: the keys can't be had.
    """
    chosen = {stage: choices_of(call.agent, stage) for stage in STAGES}
    if not any(chosen.values()):
        yield Equipment([(LOCAL, local.recognizer)], [(LOCAL, brain)], [(LOCAL, local.synthesizer)], local.hear)
        return
    language = call.agent["language"]
    keys = await vendors.keys.of(call.tenant, call.project_id)
    builder = Builder(vendors.sessions, vendors.base_urls, keys, vendors.cache, language)
    recognizers = [(choice.provider, builder.recognizer(choice)) for choice in chosen["stt"]]
    synthesizers = [(choice.provider, builder.synthesizer(choice)) for choice in chosen["tts"]]
    brains = [(choice.provider, LlmBrain(builder.llm(choice))) for choice in chosen["llm"]]
    # The local engines know English only: in another language they would be no help.
    is_english = language.startswith("en")
    has_brain = is_english or not isinstance(brain, BuiltinBrain)
    try:
        yield Equipment(
            [*recognizers, *([(LOCAL, local.recognizer)] if is_english or not recognizers else [])],
            [*brains, *([(LOCAL, brain)] if has_brain or not brains else [])],
            [*synthesizers, *([(LOCAL, local.synthesizer)] if is_english or not synthesizers else [])],
            _ear_of(recognizers[0][1]) if recognizers else local.hear,
            builder.totals,
        )
    finally:
        for _name, one in recognizers:
            if isinstance(one, StreamingRecognizer):
                await one.close()
        used = {f"{provider}.{unit}": round(amount, 1) for (provider, unit), amount in builder.totals.items()}
        log.info("vendors used", **used)


def _ear_of(primary: Recognizer) -> Callable[[bytes], None]:
    """Only the primary listens all the time: vendors charge for what they hear, and a fallback may never be asked."""
    return primary.hear if isinstance(primary, StreamingRecognizer) else lambda _frame: None
