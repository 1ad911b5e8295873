"""What every agent can do: note values and hang up; and what it can be allowed to: transfer, press keys."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from call_service.tools.tool import FollowUp, Result, Tool
from call_service.voice.ports import Collected, Listen, Press, Transfer

DONE = "Done. Now speak."
_NOT_ENDED = "The call was not ended: the person spoke before. Call again when they have said all."
_NOT_CONNECTED = "They were not connected: they spoke before, or nobody was reached. Call again if it is still wanted."
MAX_KEYS = 32
_FIELD = re.compile(r"[^a-z0-9]+")
_MAX_VALUE = 500
_NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A tool whose result is there at once."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    follow_up: FollowUp
    result: Callable[[Mapping[str, Any]], Result]
    filler: str | None = None

    @property
    def kind(self) -> str:
        """Its own."""
        return self.name

    async def run(self, arguments: Mapping[str, Any], use_id: str) -> Result:
        """The result; there is nothing to wait for."""
        del use_id
        return self.result(arguments)


def note(name: str, value: str) -> Collected | None:
    """A value as it goes into the call's data; None when there is none."""
    known = _FIELD.sub("_", name.lower()).strip("_")[:40]
    kept = " ".join(value.split())[:_MAX_VALUE]
    return Collected(known, kept) if known and kept else None


def collect(wish: str | None = None, fields: Mapping[str, str | None] | None = None) -> BuiltIn:
    """Note a value: one of `fields` (name and description), or any. The brain does so when it reads the call."""
    field: dict[str, Any] = {"type": "string"}
    if fields:
        told = [f"{name}: {meaning}" for name, meaning in fields.items() if meaning]
        field |= {"enum": list(dict.fromkeys([*fields, "opt_out"]))} | (
            {"description": "; ".join(told)} if told else {}
        )
    parameters = {"type": "object", "properties": {"field": field, "value": {"type": "string"}}}
    return BuiltIn(
        "collect",
        _with("Note a value that the person gave.", wish),
        {**parameters, "required": ["field", "value"]},
        "if_silent",
        lambda _: Result(DONE),
    )


def hang_up(wish: str | None = None) -> BuiltIn:
    """End the call. The brain does so after the last word of the answer that says it."""
    description = _with("Hang up after your goodbye was heard.", wish)
    return BuiltIn("end_call", description, _NOTHING, "if_silent", lambda _: Result(DONE, lapsed=_NOT_ENDED))


def transfer(numbers: Sequence[str], mode: Literal["blind", "warm"], announcement: str, wish: str | None) -> BuiltIn:
    """Connect the other party with one of `numbers`, the first unless told, once the agent has said its last word."""
    to = {"type": "string", "enum": list(numbers)}
    choice = {"type": "object", "properties": {"to": to}}

    def result(arguments: Mapping[str, Any]) -> Result:
        chosen = Transfer(str(arguments.get("to", numbers[0])), mode, announcement)
        promised = "They are connected when you have spoken. Tell them so, in one sentence."
        return Result(promised, outputs=(chosen,), lapsed=_NOT_CONNECTED)

    description = _with("Connect the person with a colleague.", wish)
    return BuiltIn("transfer_call", description, choice if len(numbers) > 1 else _NOTHING, "if_silent", result)


def send_dtmf(wish: str | None = None) -> BuiltIn:
    """Press keys after what was said."""
    keys = {"type": "string", "pattern": "^[0-9*#A-D]+$", "maxLength": MAX_KEYS}
    parameters = {"type": "object", "properties": {"keys": keys}, "required": ["keys"]}
    description = _with("Press keys of the telephone, as a recorded menu asks for.", wish)
    return BuiltIn(
        "send_dtmf",
        description,
        parameters,
        "never",
        lambda arguments: Result("Pressed.", outputs=(Press(arguments["keys"]),)),
    )


def wait() -> BuiltIn:
    """Say nothing: a recording is speaking, and would not listen."""
    description = "Say nothing and listen on, while a recording speaks or you are on hold."
    return BuiltIn("wait", description, _NOTHING, "never", lambda _: Result("You said nothing.", outputs=(Listen(),)))


def _with(own: str, wish: str | None) -> str:
    return f"{own} {wish}" if wish else own


BASIC: tuple[Tool, ...] = (collect(), hang_up())
