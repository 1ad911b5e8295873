"""Whether an agent did what a scenario expects: pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from call_service.scenarios.report import Check, PlayedTurn, ScenarioReport, percentile
from call_service.scenarios.scenario import Choice, Expectations, Scenario
from call_service.scenarios.text import has_phrase, normalized, word_errors
from call_service.voice.options import TurnTimings
from call_service.voice.ports import AnsweredBy, Turn

TIMED_OUT = "scenario_timed_out"
# What the callee says so shortly before the end may be in the transcript, or may not.
UNHEARD_MS = 1_500


@dataclass(frozen=True, slots=True)
class Said:
    """A line of the callee, and when it was over: milliseconds since the answer."""

    text: str
    end_ms: int


@dataclass(frozen=True, slots=True)
class Observation:
    """What happened in one call; `timings` has an entry for each of `turns`, and the end is at `end_ms`."""

    status: str
    reason: str
    turns: tuple[Turn, ...] = ()
    timings: tuple[TurnTimings, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    transferred_to: str | None = None
    said: tuple[Said, ...] = ()
    pressed: str = ""
    answered_by: AnsweredBy | None = None
    end_ms: int = 0

    @property
    def voice_to_voice_ms(self) -> list[int]:
        """How long the callee waited for each answer."""
        return [timing.voice_to_voice_ms for timing in self.timings if timing.voice_to_voice_ms is not None]

    @property
    def barge_in_ms(self) -> list[int]:
        """How long the agent went on when it was interrupted."""
        barged = zip(self.turns, self.timings, strict=True)
        return [timing.barge_in_ms for turn, timing in barged if turn.interrupted and timing.barge_in_ms is not None]

    def words_of(self, role: str) -> list[str]:
        """Everything that one side said, normalised."""
        return normalized(" ".join(turn.text for turn in self.turns if turn.role == role))

    def word_errors(self) -> tuple[int, int]:
        """Misunderstood words, and all that were said. Keys that were pressed are turns without a length."""
        heard = [turn.text for turn in self.turns if turn.role == "user" and turn.end_ms > turn.start_ms]
        in_time = [line.text for line in self.said if line.end_ms <= self.end_ms - UNHEARD_MS]
        return min(word_errors([line.text for line in self.said], heard), word_errors(in_time, heard))


def judge(scenario: Scenario, seen: Observation) -> ScenarioReport:
    """The report of one scenario."""
    checks = list(_checks(scenario.expect, seen, scenario.max_seconds))
    errors, said = seen.word_errors()
    return ScenarioReport(
        name=scenario.name,
        category=scenario.category,
        line=scenario.line.label,
        ok=all(check.ok for check in checks),
        checks=checks,
        status=seen.status,
        reason=seen.reason,
        answered_by=seen.answered_by,
        transcript=[
            PlayedTurn(
                role=turn.role,
                text=turn.text,
                start_ms=turn.start_ms,
                end_ms=turn.end_ms,
                interrupted=turn.interrupted,
            )
            for turn in seen.turns
        ],
        said=[line.text for line in seen.said],
        data=dict(seen.data),
        tools=list(seen.tools),
        voice_to_voice_ms=seen.voice_to_voice_ms,
        word_errors=errors,
        words=said,
        seconds=round(seen.end_ms / 1000, 1),
    )


def failure(scenario: Scenario, seen: Observation) -> ScenarioReport:
    """The report of a scenario that was not played to its end: whatever it expects, it failed."""
    return judge(scenario, seen).model_copy(update={"ok": False})


def _checks(expect: Expectations, seen: Observation, max_seconds: int) -> Iterator[Check]:
    if seen.reason == TIMED_OUT:
        yield Check(rule="max_seconds", wanted=f"≤ {max_seconds} s", ok=False, found="the call went on")
    yield from _phrases(expect, seen)
    yield from _facts(expect, seen)
    yield from _limits(expect, seen)


def _phrases(expect: Expectations, seen: Observation) -> Iterator[Check]:
    agent, user = seen.words_of("agent"), seen.words_of("user")
    for choice in expect.says:
        yield _check("says", choice, found=_spoken(agent, choice))
    for phrase in expect.never_says:
        is_said = has_phrase(agent, phrase)
        yield Check(rule="never_says", wanted=phrase, ok=not is_said, found="said" if is_said else "not said")
    for choice in expect.hears:
        yield _check("hears", choice, found=_spoken(user, choice))


def _spoken(said: list[str], choice: Choice) -> str | None:
    return next((phrase for phrase in _options(choice) if has_phrase(said, phrase)), None)


def _options(choice: Choice) -> tuple[str, ...]:
    return (choice,) if isinstance(choice, str) else choice


def _check(rule: str, choice: Choice, *, found: str | None) -> Check:
    return Check(rule=rule, wanted=" / ".join(_options(choice)), ok=found is not None, found=found or "not there")


def _facts(expect: Expectations, seen: Observation) -> Iterator[Check]:
    for name, wanted in expect.data.items():
        value = seen.data.get(name)
        is_right = value is not None and (
            wanted is None or any(normalized(value) == normalized(one) for one in _options(wanted))
        )
        shown = "any value" if wanted is None else " / ".join(_options(wanted))
        yield Check(rule=f"data.{name}", wanted=shown, ok=is_right, found="nothing" if value is None else value)
    for tool in expect.tools:
        yield Check(rule="tools", wanted=tool, ok=tool in seen.tools, found=", ".join(seen.tools) or "none")
    facts: tuple[tuple[str, str | None, str | None], ...] = (
        ("pressed", expect.pressed, seen.pressed),
        ("transferred_to", expect.transferred_to, seen.transferred_to),
        ("status", expect.status, seen.status),
        ("reason", expect.reason, seen.reason),
        ("answered_by", expect.answered_by, seen.answered_by),
    )
    for rule, fact, found in facts:
        if fact is not None:
            yield Check(rule=rule, wanted=fact, ok=found == fact, found=found or "nothing")
    if expect.interrupted is not None:
        cut = any(turn.interrupted for turn in seen.turns if turn.role == "agent")
        yield Check(
            rule="interrupted", wanted=_yes_no(expect.interrupted), ok=cut == expect.interrupted, found=_yes_no(cut)
        )


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"


def _limits(expect: Expectations, seen: Observation) -> Iterator[Check]:
    if expect.max_turns is not None:
        turns = sum(turn.role == "agent" for turn in seen.turns)
        yield Check(rule="max_turns", wanted=f"≤ {expect.max_turns}", ok=turns <= expect.max_turns, found=str(turns))
    yield from _slowest("max_voice_to_voice_ms", expect.max_voice_to_voice_ms, seen.voice_to_voice_ms)
    yield from _slowest("max_barge_in_ms", expect.max_barge_in_ms, seen.barge_in_ms)
    if expect.max_word_error_rate is not None:
        errors, said = seen.word_errors()
        rate = errors / said if said else float(bool(errors))
        wanted, found = f"≤ {expect.max_word_error_rate:.1%}", f"{rate:.1%}"
        yield Check(rule="max_word_error_rate", wanted=wanted, ok=rate <= expect.max_word_error_rate, found=found)


def _slowest(rule: str, limit_ms: int | None, measured_ms: list[int]) -> Iterator[Check]:
    """Nothing that was measured is no proof: it fails."""
    if limit_ms is None:
        return
    slowest = percentile(measured_ms, 95)
    found = "nothing was measured" if slowest is None else f"{slowest} ms"
    yield Check(rule=rule, wanted=f"≤ {limit_ms} ms", ok=slowest is not None and slowest <= limit_ms, found=found)
