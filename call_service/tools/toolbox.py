"""The tools of one call, and what they were used for so far. All its brains share them."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from prometheus_client import Histogram

from call_service.llm.messages import ToolCall
from call_service.projects import ProjectServiceUnavailableError
from call_service.tools.built_in import BASIC
from call_service.tools.exchange import Exchange, Use
from call_service.tools.tool import Result, Tool
from call_service.voice.ports import Turn
from shared.ids import new_id
from shared.json_schema import misfit

log = structlog.get_logger(__name__)

MAX_EXCHANGES = 20
MAX_PARALLEL = 8
SECONDS = Histogram(
    "talkstack_tool_seconds",
    "What the tools of agents took.",
    ["kind", "outcome"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 25),
)


@dataclass(frozen=True, slots=True)
class Used:
    """A tool was used; `error` is one word when it has failed."""

    name: str
    ms: int
    error: str | None


def _ignore(_used: Used) -> None: ...


class Toolbox:
    """Uses go on when the caller interrupts, and end with the call, by `close`. `on_use` hears of each at its end.

    `rules` tell a language model how to use them; `goal` says where menus should lead.
    """

    def __init__(
        self,
        tools: Sequence[Tool] = BASIC,
        on_use: Callable[[Used], None] = _ignore,
        *,
        rules: Sequence[str] = (),
        goal: str | None = None,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self.on_use = on_use
        self._under_way: dict[bytes, tuple[Turn | None, Use]] = {}
        self.exchanges: deque[Exchange] = deque(maxlen=MAX_EXCHANGES)
        self.rules = tuple(rules)
        self.goal = goal

    @property
    def functions(self) -> tuple[dict[str, Any], ...]:
        """As OpenAI's chat completions want them."""
        return tuple(
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
            }
            for tool in self._tools.values()
        )

    def has(self, name: str) -> bool:
        """May the agent use this tool?"""
        return name in self._tools

    def accepts(self, call: ToolCall, place: int) -> bool:
        """May it be done, as the model's call number `place` of one answer?"""
        return _refusal(self._tools.get(call.name), call, place) is None

    def use(self, calls: Sequence[ToolCall], anchor: Turn | None, said: str = "") -> Exchange:
        """Begin what the model asks for, having `said` something; `anchor` is the last turn it knew of."""
        uses = [self._begin(call, anchor, place) for place, call in enumerate(calls)]
        exchange = Exchange(anchor, calls, uses, said)
        self.exchanges.append(exchange)
        return exchange

    async def close(self) -> None:
        """The call is over: what is still at work is cancelled."""
        tasks = [use.task for _anchor, use in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._under_way.clear()

    def _begin(self, call: ToolCall, anchor: Turn | None, place: int) -> Use:
        """A brain that takes over asks for the same again: it gets what is there, and nothing is done twice."""
        tool = self._tools.get(call.name)
        key = orjson.dumps([call.name, call.arguments], option=orjson.OPT_SORT_KEYS)
        if tool and tool.follow_up == "always" and key in self._under_way:
            asked, use = self._under_way[key]
            if asked == anchor or not use.task.done():
                return use
        refusal = _refusal(tool, call, place)
        task = asyncio.create_task(self._run(tool, call, refusal), name=f"tool {call.name[:64]}")
        use = Use(task, tool.follow_up if tool else "always", tool.filler if tool else None)
        kept = {known: it for known, it in self._under_way.items() if it[0] == anchor or not it[1].task.done()}
        self._under_way = {**kept, key: (anchor, use)}
        return use

    async def _run(self, tool: Tool | None, call: ToolCall, refusal: Result | None) -> Result:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            result = refusal
            if result is None:
                assert tool is not None
                result = await tool.run(call.arguments, new_id())
        except asyncio.CancelledError:
            self._tell(tool, call, loop.time() - began, "call_ended")
            raise
        except ProjectServiceUnavailableError:
            result = Result("This does not work at present.", "unavailable")
        except Exception:
            log.exception("tool failed")
            result = Result("This does not work at present.", "internal_error")
        self._tell(tool, call, loop.time() - began, result.error)
        return result

    def _tell(self, tool: Tool | None, call: ToolCall, seconds: float, error: str | None) -> None:
        SECONDS.labels(tool.kind if tool else "unknown", "failed" if error else "ok").observe(seconds)
        try:
            self.on_use(Used(call.name[:64], round(seconds * 1000), error))
        except Exception:
            log.exception("use was not told")


def _refusal(tool: Tool | None, call: ToolCall, place: int) -> Result | None:
    """Why it is not even tried, in words that the model can act on."""
    if tool is None:
        return Result("There is no such tool.", "unknown_tool")
    if place >= MAX_PARALLEL:
        return Result(f"Call at most {MAX_PARALLEL} tools at once.", "too_many")
    if call.is_malformed:
        return Result("The arguments are not a JSON object. Call again with valid JSON.", "malformed_arguments")
    if problem := misfit(tool.parameters, dict(call.arguments)):
        return Result(f"The arguments do not fit the schema: {problem}. Call again.", "invalid_arguments")
    return None
