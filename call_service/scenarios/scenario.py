"""Scenarios: what a test of an agent is, as data."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from call_service.carriers.scripts import Script
from call_service.spoken.words import words
from call_service.voice.ports import AnsweredBy
from shared.e164 import E164

MAX_SCENARIOS = 200
# The callees of the simulated carrier that converse freely.
CONVERSING = frozenset({"+12025550100"})

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Phrase = Annotated[str, Field(min_length=1, max_length=200)]
Choice = Phrase | Annotated[tuple[Phrase, ...], Field(min_length=1, max_length=20)]

EXAMPLE: dict[str, Any] = {
    "name": "books an appointment",
    "callee": {
        "description": "Wants an appointment on Thursday at three.",
        "turns": [
            {"after_ms": 300, "say": "Hello?"},
            {"wait_for": "", "say": "I would like to make an appointment for Thursday at three in the afternoon."},
            {"interrupt_after_words": 4, "say": "My name is Anna Miller."},
            {"wait_for": "", "say": "Yes, that is right. Thank you, goodbye.", "silence_ms": 1500, "hang_up": True},
        ],
    },
    "line": {"noise_db": 20, "packet_loss_percent": 1},
    "expect": {
        "says": ["Bright Dental", ["Thursday", "this week"]],
        "never_says": ["as an AI"],
        "data": {"day": "Thursday", "name": None},
        "status": "completed",
        "max_voice_to_voice_ms": 1500,
        "max_word_error_rate": 0.2,
    },
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Line(_Strict):
    """What the line does to the callee's voice on its way to the agent."""

    noise_db: float | None = Field(default=None, ge=0, le=60, description="Noise, so many dB below speech.")
    packet_loss_percent: float | None = Field(default=None, ge=0, le=50)

    @property
    def label(self) -> str:
        """`15 dB`, `1 % loss`, both, or `clean`."""
        noise = [] if self.noise_db is None else [f"{self.noise_db:g} dB"]
        return ", ".join([*noise, *([f"{self.packet_loss_percent:g} % loss"] if self.packet_loss_percent else [])]) or (
            "clean"
        )


class Expectations(_Strict):
    """What has to be true afterwards. Phrases are compared word by word, whatever their case; digits are words.

    A list instead of a phrase means that one of them will do.
    """

    says: tuple[Choice, ...] = Field((), max_length=50, description="What the agent says, in any order.")
    never_says: tuple[Phrase, ...] = Field((), max_length=50)
    hears: tuple[Choice, ...] = Field((), max_length=50, description="What its transcript has of the callee.")
    data: dict[str, Choice | None] = Field(
        {}, max_length=50, description="Values the agent collects; null: any value will do."
    )
    tools: tuple[str, ...] = Field((), max_length=50, description="Tools it uses with success, in any order.")
    transferred_to: E164 | None = Field(None, description="Whom it connects the callee with.")
    pressed: str | None = Field(None, pattern=r"^[0-9*#A-D]{1,64}$", description="The keys it presses.")
    status: Literal["completed", "voicemail", "silence", "failed", "busy", "no-answer"] | None = None
    reason: Annotated[str, Field(pattern="^[a-z_]{1,64}$")] | None = None
    answered_by: AnsweredBy | None = None
    interrupted: bool | None = Field(None, description="Whether the callee stops the agent in mid-speech.")
    max_turns: int | None = Field(None, ge=0, description="Most turns of the agent.")
    max_voice_to_voice_ms: int | None = Field(
        None, ge=1, description="The 95th percentile, from the callee's last voice to the agent's first."
    )
    max_barge_in_ms: int | None = Field(None, ge=1, description="Until the agent falls silent, interrupted.")
    max_word_error_rate: float | None = Field(None, ge=0, description="Of what the callee said: 0.1 is 10 %.")

    @model_validator(mode="after")
    def _expects_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name at least one expectation")
        for phrase in self._phrases():
            if not words(phrase):
                raise ValueError(f"{phrase!r} has no word to compare")
        return self

    def _phrases(self) -> Iterator[str]:
        for choice in (*self.says, *self.never_says, *self.hears, *self.data.values()):
            yield from (choice,) if isinstance(choice, str) else choice or ()


class Scenario(_Strict):
    """One call to or from a simulated callee."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    name: Name
    category: Name = "general"
    direction: Literal["outbound", "inbound"] = Field("outbound", description="`inbound`: the callee calls the agent.")
    variables: dict[str, Annotated[str, Field(max_length=1000)]] = Field(
        {}, max_length=50, description="Fill the placeholders of the agent's instructions."
    )
    callee: Script
    line: Line = Field(default_factory=Line)
    expect: Expectations
    max_seconds: int = Field(120, ge=5, le=600, description="A call that goes on for longer fails the scenario.")

    @model_validator(mode="after")
    def _knows_the_conversation(self) -> Self:
        wanted = self.callee.conversation_of
        if wanted and wanted not in CONVERSING:
            raise ValueError(f"callee.conversation_of: only {', '.join(sorted(CONVERSING))} converses")
        return self

    def on(self, line: Line) -> Self:
        """The same scenario on another line."""
        return self.model_copy(update={"line": line})


Scenarios = Annotated[tuple[Scenario, ...], Field(min_length=1, max_length=100)]
Lines = Annotated[tuple[Line, ...], Field(max_length=10)]


class ScenarioSet(_Strict):
    """Scenarios that belong together. With `lines` each is played once on each of them, instead of on its own."""

    scenarios: Scenarios
    lines: Lines = ()

    @model_validator(mode="after")
    def _is_manageable(self) -> Self:
        names = [scenario.name for scenario in self.scenarios]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"scenarios: several are called {', '.join(sorted(twice))}")
        if len(set(self.lines)) < len(self.lines):
            raise ValueError("lines: one is listed twice")
        if len(self.played()) > MAX_SCENARIOS:
            raise ValueError(f"scenarios: with lines these are more than {MAX_SCENARIOS}")
        return self

    def played(self) -> tuple[Scenario, ...]:
        """Every call that is played."""
        if not self.lines:
            return self.scenarios
        return tuple(scenario.on(line) for line in self.lines for scenario in self.scenarios)
