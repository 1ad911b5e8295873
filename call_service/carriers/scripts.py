"""Scripts: what a simulated callee does, as data."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import re2
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

# Of a compiled one.
MAX_PATTERN_BYTES = 1 << 16
# A class of Unicode such as \pL costs 0.12 ms to compile whatever becomes of it, anything else a microsecond or two.
MAX_UNICODE_CLASSES = 10
# The context in which to validate what was validated before: nothing is compiled.
ACCEPTED_BEFORE: Mapping[str, Any] = {"accepted_before": True}
_UNICODE_CLASS = re.compile(r"\\p", re.IGNORECASE)


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Any:
    """The regular expression of RE2, whatever the case. It takes up to 1.5 ms, and no other thread runs meanwhile.

    Raises:
        re2.error
    """
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = MAX_PATTERN_BYTES
    return re2.compile(pattern, options)


def matches(pattern: str, text: str) -> bool:
    """Is the regular expression somewhere in `text`, whatever the case?

    Scripts come from customers too: RE2 takes linear time and bounded memory (https://github.com/google/re2).
    """
    return compiled(pattern).search(text) is not None


def _compilable(pattern: str, info: ValidationInfo) -> str:
    if info.context is ACCEPTED_BEFORE:
        return pattern
    if len(_UNICODE_CLASS.findall(pattern)) > MAX_UNICODE_CLASSES:
        raise ValueError(f"more than {MAX_UNICODE_CLASSES} classes of Unicode (\\p…) in a regular expression")
    try:
        compiled(pattern)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error
        raise ValueError(f"not a regular expression of RE2: {reason}") from error
    return pattern


Pattern = Annotated[str, Field(max_length=1000), AfterValidator(_compilable)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]
Milliseconds = Annotated[int, Field(ge=0, le=600_000)]
Number = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")]
Outcome = Literal["answers", "busy", "never_answers", "declines", "does_not_exist"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Turn(_Strict):
    """One step of the callee: when it begins, then what is done, in the order of the fields."""

    wait_for: Pattern | None = Field(
        default=None, description="Begin when the agent finished saying something that matches; empty: anything."
    )
    interrupt_after_ms: Milliseconds | None = Field(
        default=None, description="Begin while the agent is speaking, so long after it started."
    )
    interrupt_after_words: int | None = Field(
        default=None, ge=1, le=100, description="The same, after about so many words of the agent."
    )
    after_ms: Milliseconds = Field(default=0, description="Wait so long before beginning.")
    noise_db: float | None = Field(
        default=None, ge=0, le=60, description="From here on, line noise so many dB below the level of speech."
    )
    packet_loss_percent: float | None = Field(
        default=None, ge=0, le=50, description="From here on, so many of 100 packets don't reach the agent."
    )
    say: Text | None = None
    dtmf: Annotated[str, Field(pattern=r"^[0-9*#A-D]{1,32}$")] | None = None
    beep_ms: Milliseconds = Field(default=0, description="A tone of 1 kHz.")
    record_ms: Milliseconds = Field(default=0, description="Listen silently and keep what the agent says.")
    silence_ms: Milliseconds = 0
    hang_up: bool = False

    @model_validator(mode="after")
    def _begins_in_one_way(self) -> Self:
        ways = (self.wait_for, self.interrupt_after_ms, self.interrupt_after_words)
        if sum(way is not None for way in ways) > 1:
            raise ValueError("wait_for, interrupt_after_ms and interrupt_after_words exclude each other")
        return self


class Reply(_Strict):
    """An answer to what the agent says."""

    match: Pattern
    say: Text | None = None
    say_again: bool = Field(default=False, description="Repeat the last thing said instead.")
    hang_up: bool = Field(default=False, description="Then leave, after a chance for the agent's goodbye.")


class Conversation(_Strict):
    """How a callee answers freely. Of several sentences the last that matches counts; replies are tried in order."""

    replies: dict[str, Reply] = Field(min_length=1, max_length=100)
    otherwise: Text
    unclear: Text = "Sorry, could you say that again?"
    closing: Text = Field(
        default="I have to go now. Goodbye.", description="Said after max_turns answers, before leaving."
    )
    max_turns: int = Field(default=14, ge=1, le=100)
    order: tuple[str, ...] = Field(description="Names of replies, given in turn when there is no recognition.")

    @model_validator(mode="after")
    def _order_names_replies(self) -> Self:
        unknown = [name for name in self.order if name not in self.replies]
        if unknown:
            raise ValueError(f"order names replies that do not exist: {', '.join(unknown)}")
        return self


class Script(_Strict):
    """The callee behind one number."""

    description: str = Field(max_length=200)
    outcome: Outcome = "answers"
    answer_after_ms: Milliseconds | None = Field(
        default=None, description="Ring so long; else as the carrier is set up."
    )
    patience_ms: Milliseconds | None = Field(
        default=30_000, description="Hang up when the agent says nothing for so long while it is its turn; null: never."
    )
    turns: tuple[Turn, ...] = Field(default=(), max_length=200)
    conversation: Conversation | None = Field(
        default=None, description="How to go on after the turns; null: stay silent."
    )
    conversation_of: Number | None = Field(default=None, description="Go on like the callee of this number.")

    def on_line(self, noise_db: float | None, packet_loss_percent: float | None) -> Self:
        """The same callee on a line that is noisy, or loses packets, from the answer on."""
        if noise_db is None and packet_loss_percent is None:
            return self
        from_the_answer_on = Turn(noise_db=noise_db, packet_loss_percent=packet_loss_percent)
        return self.model_copy(update={"turns": (from_the_answer_on, *self.turns)})

    def patterns(self) -> Iterator[str]:
        """Every regular expression that what the agent says is compared with."""
        yield from (turn.wait_for for turn in self.turns if turn.wait_for)
        yield from (reply.match for reply in (self.conversation.replies if self.conversation else {}).values())

    @model_validator(mode="after")
    def _goes_on_in_one_way(self) -> Self:
        if self.conversation and self.conversation_of:
            raise ValueError("conversation and conversation_of exclude each other")
        return self
