"""What a Realtime model is told of the functions that it called: each call gets an output, whatever became of it."""

from collections.abc import Callable, Sequence

from call_service.llm.messages import ToolCall
from call_service.tools.exchange import Exchange, Use
from call_service.tools.toolbox import Toolbox
from call_service.vendors.realtime import messages
from call_service.vendors.realtime.messages import Event
from call_service.voice.ports import Turn

_DROPPED = "This was not done: the person spoke before. Call again if it is still wanted."


class Calls:
    """Of one call on the telephone; `send` gives the model what it is told."""

    def __init__(self, tools: Toolbox, send: Callable[[Event], None]) -> None:
        self._tools = tools
        self._send = send
        self._untold: list[tuple[ToolCall, Use]] = []
        self._late: list[tuple[ToolCall, Use]] = []
        self._promised: list[tuple[ToolCall, str]] = []

    def accepts(self, call: ToolCall, place: int) -> bool:
        """May it be done, as the model's call number `place` of one answer?"""
        return self._tools.accepts(call, place)

    def use(self, calls: Sequence[ToolCall], anchor: Turn | None) -> Exchange:
        """Begin what the model asks for; `anchor` is the last turn it knew of."""
        exchange = self._tools.use(calls, anchor)
        self._untold = list(zip(exchange.calls, exchange.uses, strict=True))
        self._late = [(call, use) for call, use in self._late if use not in exchange.uses]
        return exchange

    def tell(self) -> None:
        """The results of the last use; of what is still at work the model hears that, and the result later."""
        for call, use in self._untold:
            self._send(messages.tool_result(call.id, use.told))
        self._late += [(call, use) for call, use in self._untold if use.result is None]
        self._promised += [(call, use.told_later) for call, use in self._untold if use.told_later != use.told]
        self._untold.clear()

    def tell_late(self) -> None:
        """What has come since, and what has come to nothing, as if the model had called for it just now."""
        arrived = [(call, use.told) for call, use in self._late if use.result]
        for call, told in [*arrived, *self._promised]:
            again = messages.repeated(call)
            self._send(again)
            self._send(messages.tool_result(again["item"]["call_id"], told))
        self._late = [(call, use) for call, use in self._late if not use.task.done()]
        self._promised.clear()

    def drop(self, call_id: str) -> None:
        """Nobody reads the answer that this call is part of."""
        self._send(messages.tool_result(call_id, _DROPPED))
