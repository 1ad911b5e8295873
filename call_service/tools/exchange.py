"""One time that a model called tools, and what came of it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from call_service.llm.messages import Message, ToolCall
from call_service.tools.tool import FollowUp, Result
from call_service.voice.ports import BrainOutput, Say, Turn, Working

FILLER_SECONDS = 1.0
# Shorter than a brain may take for its next words: whoever watches it sees that it is not stuck.
BEAT_SECONDS = 0.5
_NOT_YET = "This is still at work. Say so, or talk about something else meanwhile."


@dataclass(frozen=True, slots=True)
class Use:
    """A tool at work. The task never raises; it goes on when nobody waits for it any more."""

    task: "asyncio.Task[Result]"
    follow_up: FollowUp
    filler: str | None

    @property
    def result(self) -> Result | None:
        """None while it is at work."""
        return self.task.result() if self.task.done() and not self.task.cancelled() else None

    @property
    def told(self) -> str:
        """What the model is told of it as of now."""
        return self.result.text if self.result else _NOT_YET

    @property
    def told_later(self) -> str:
        """What it is told when the conversation has gone on."""
        return (self.result and self.result.lapsed) or self.told


@dataclass(frozen=True, slots=True)
class Exchange:
    """The calls of one answer with their uses, and what it `said` before them.

    `anchor` is the last turn that the model knew of.
    """

    anchor: Turn | None
    calls: Sequence[ToolCall]
    uses: Sequence[Use]
    said: str = ""

    def is_settled(self, *, has_spoken: bool) -> bool:
        """Has the model nothing to add? Failures it has to hear of."""
        return not any(
            use.follow_up == "always"
            or (use.follow_up == "if_silent" and not has_spoken)
            or (use.result and use.result.error)
            for use in self.uses
        )

    def messages(self, *, is_past: bool) -> list[Message]:
        """As the model sees it, as far as results are there.

        When it `is_past`, what was heard of its words is a turn of the conversation.
        """
        asked = [{"id": call.id, "type": "function", "function": _function(call)} for call in self.calls]
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": use.told_later if is_past else use.told}
            for call, use in zip(self.calls, self.uses, strict=True)
        ]
        said = None if is_past else self.said or None
        return [{"role": "assistant", "content": said, "tool_calls": asked}, *results]

    async def outputs(self, *, has_spoken: bool) -> AsyncGenerator[BrainOutput]:
        """What the agent does until all results are there, and then about them. A long wait is filled with words."""
        loop = asyncio.get_running_loop()
        filler = None if has_spoken else next((use.filler for use in self.uses if use.filler), None)
        fills_at = loop.time() + FILLER_SECONDS
        takes_time = any(use.follow_up == "always" for use in self.uses)
        if takes_time:
            yield Working()
        pending = {use.task for use in self.uses}
        while pending:
            left = fills_at - loop.time() if filler else BEAT_SECONDS
            _done, pending = await asyncio.wait(pending, timeout=max(0, min(left, BEAT_SECONDS)))
            if pending and filler and loop.time() >= fills_at:
                yield Say(filler)
                filler = None
            elif pending or takes_time:
                yield Working()  # at the end too: what comes then is the model's time, all of it
        for use in self.uses:
            if use.result:
                for output in use.result.outputs:
                    yield output
        if not takes_time and not self.is_settled(has_spoken=has_spoken):
            yield Working()  # what comes now is the time of the model's next answer


def _function(call: ToolCall) -> Mapping[str, str]:
    return {"name": call.name, "arguments": orjson.dumps(call.arguments).decode()}
