"""What the language model is told, and how it steers the call.

Control convention: the model calls the tools `end_call` and `collect(field, value)`. Where tools are not supported it
writes `[[end_call]]` or `[[collect field=value]]` into its text instead; both forms are always understood, and markers
are never spoken.
"""

import re
from collections.abc import Sequence

from call_service.llm import Message, ToolCall
from call_service.tools.built_in import note
from call_service.tools.exchange import Exchange
from call_service.tools.toolbox import Toolbox
from call_service.voice.ports import AgentProfile, Collected, EndCall, Turn

_RULES = """\
You are speaking with one person on the telephone. Your words are turned into speech, theirs are recognised from audio \
and may hold recognition errors.
- Answer in one to three short spoken sentences, in the language "{language}". No markdown, lists, emojis or headings.
- Ask one question at a time. Say numbers, prices and times the way people say them.
- Never invent facts, prices, times or promises that are not in your instructions; say that you do not know.
- If asked whether you are a person, say that you are an AI assistant.
- If they ask not to be called again: apologise, {collect_opt_out}, say goodbye and end the call.
- Note every value that you were told to get, once it is clear: {collect}. \
Use the fields name, day, time, number, confirmed where they fit, else short snake_case ones.
- When the conversation is over, say goodbye and {end}. Always speak in the same answer in which you do so.
{rules}Your name in the system is "{name}". Your instructions:
{instructions}"""
_BY_TOOL = {
    "collect": 'call the tool "collect"',
    "collect_opt_out": 'call the tool "collect" with field "opt_out" and value "yes"',
    "end": 'call the tool "end_call"',
}
_BY_MARKER = {
    "collect": "write [[collect field=value]]",
    "collect_opt_out": "write [[collect opt_out=yes]]",
    "end": "write [[end_call]] at the end",
}
TOOLS = Toolbox().functions
_MARKER = re.compile(r"\[\[\s*(?P<command>end_call|collect)\s*(?P<field>[^=\]]*?)\s*(?:=(?P<value>[^\]]*))?\]\]")
_ENOUGH = "(You have used your tools often enough. Answer in words now.)"


def messages(
    profile: AgentProfile,
    history: Sequence[Turn],
    heard: str,
    *,
    tools: bool,
    rules: Sequence[str] = (),
    before: Sequence[Exchange] = (),
) -> list[Message]:
    """The whole conversation as the model sees it: what was really said and heard, and `heard` last.

    Tools were used `before`; `rules` say how to use them.
    """
    convention = _BY_TOOL if tools else _BY_MARKER
    system = _RULES.format(
        language=profile.language,
        name=profile.name,
        instructions=profile.instructions,
        rules="".join(f"- {rule}\n" for rule in rules),
        **convention,
    )
    said = [_message(turn) for turn in history]
    for exchange in reversed(before):
        at = _place(exchange, history)
        said[at:at] = exchange.messages(is_past=True)
    return [{"role": "system", "content": system}, *said, {"role": "user", "content": heard}]


def used_now(exchanges: Sequence[Exchange], rounds: int) -> list[Message]:
    """What follows the last words of the person: what this answer has used so far, out of so many rounds."""
    used = [message for exchange in exchanges for message in exchange.messages(is_past=False)]
    return [*used, {"role": "user", "content": _ENOUGH}] if len(exchanges) >= rounds - 1 else used


def _message(turn: Turn) -> Message:
    return {"role": "assistant" if turn.role == "agent" else "user", "content": _heard_part(turn)}


def _place(exchange: Exchange, history: Sequence[Turn]) -> int:
    """Behind what the person had said when the tools were called."""
    at = history.index(exchange.anchor) + 1 if exchange.anchor in history else 0
    while at < len(history) and history[at].role == "user":
        at += 1
    return at


def _heard_part(turn: Turn) -> str:
    return f"{turn.text} (they interrupted you here)" if turn.interrupted and turn.role == "agent" else turn.text


def command_of(call: ToolCall) -> Collected | EndCall | None:
    """What a tool call means; None for tools that we did not offer and for empty values."""
    if call.name == "end_call":
        return EndCall()
    if call.name != "collect":
        return None
    return note(str(call.arguments.get("field", "")), str(call.arguments.get("value", "")))


class MarkerFilter:
    """Takes `[[…]]` markers out of streamed text, also when one comes in pieces."""

    def __init__(self) -> None:
        self._held = ""

    def push(self, text: str) -> tuple[str, list[Collected | EndCall]]:
        """The text to speak, and what the markers that it completed mean."""
        self._held += text
        commands = [command for match in _MARKER.finditer(self._held) if (command := _command(match))]
        clean = _MARKER.sub("", self._held)
        opened = clean.find("[[")
        if opened < 0 and clean.endswith("["):  # the other half may follow
            opened = len(clean) - 1
        keep = opened if opened >= 0 and "]]" not in clean[opened:] else len(clean)
        self._held = clean[keep:]
        return clean[:keep], commands

    def flush(self) -> str:
        """Text that looked like the start of a marker but was none; an unfinished marker is dropped."""
        held, self._held = self._held, ""
        return "" if held.startswith("[[") else held


def _command(match: re.Match[str]) -> Collected | EndCall | None:
    if match["command"] == "end_call":
        return EndCall()
    return note(match["field"], match["value"] or "")
