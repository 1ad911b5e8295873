"""A summary composed from facts alone."""

from collections.abc import Sequence

from call_service.analysis.models import CallFacts
from call_service.voice.ports import Turn

_ENDS = {
    "callee_hung_up": "the other party hung up",
    "agent_hung_up": "the agent ended it",
    "caller_api_ended": "it was ended through the API",
    "max_duration": "it reached the longest duration allowed",
    "silence_timeout": "nothing more was heard",
    "voicemail_detected": "a voicemail answered",
    "screening_detected": "a screening assistant answered",
    "ivr_detected": "a menu answered",
    "media_lost": "the audio connection was lost",
    "worker_lost": "the platform lost the call",
    "transferred": "it was transferred",
}
_SPECIAL = {
    "opt_out": "They asked not to be called again.",
    "wrong_number": "It was the wrong number.",
    "callback": "They asked to be called back by a person.",
}


def summary_of(turns: Sequence[Turn], facts: CallFacts) -> str:
    """Who was called, for how long, what was collected and how it ended."""
    parts = [_who(facts), _talk(turns), _collected(facts), *_outcomes(facts), _end(facts)]
    return " ".join(part for part in parts if part)


def _who(facts: CallFacts) -> str:
    agent = facts.agent_name or "The agent"
    duration = f"{round(facts.seconds)} second{'' if round(facts.seconds) == 1 else 's'}"
    verb = "called" if facts.direction == "outbound" else "was called by"
    return f"{agent} {verb} {facts.to}; the call lasted {duration}."


def _talk(turns: Sequence[Turn]) -> str:
    heard = sum(turn.role == "user" for turn in turns)
    if not heard:
        return "The other party said nothing that was understood."
    return f"The other party spoke {heard} time{'' if heard == 1 else 's'}."


def _collected(facts: CallFacts) -> str:
    values = [
        f"{key.replace('_', ' ')}: {value}" for key, value in facts.data.items() if key not in {*_SPECIAL, "confirmed"}
    ]
    return f"Collected: {', '.join(values)}." if values else "Nothing was collected."


def _outcomes(facts: CallFacts) -> list[str]:
    said = [text for key, text in _SPECIAL.items() if facts.data.get(key) == "yes"]
    confirmed = {"yes": "They confirmed this.", "no": "They did not confirm this."}.get(facts.data.get("confirmed", ""))
    return [*said, confirmed] if confirmed else said


def _end(facts: CallFacts) -> str:
    return f"It ended because {_ENDS[facts.reason]}." if facts.reason in _ENDS else f"It ended as {facts.status}."
