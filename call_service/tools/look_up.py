"""Looks something up in the agent's documents."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from call_service.tools.tool import FollowUp, Found, Result

SECONDS = 8.0
MAX_CHARS = 4_000
_PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {"question": {"type": "string", "minLength": 1, "maxLength": 500}},
    "required": ["question"],
}

Find = Callable[[str], Awaitable[Sequence[Found]]]


@dataclass(frozen=True, slots=True)
class LookUp:
    """The tool; `find` searches."""

    find: Find
    description: str
    filler: str | None
    name: str = "look_up"
    kind: str = "look_up"
    follow_up: FollowUp = "always"

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What to look for."""
        return _PARAMETERS

    async def run(self, arguments: Mapping[str, Any], use_id: str) -> Result:
        """The passages that are nearest to the question; finding none is no failure."""
        del use_id
        try:
            async with asyncio.timeout(SECONDS):
                found = tuple(await self.find(arguments["question"]))
        except TimeoutError:
            return Result("The documents can not be read at present.", "timeout")
        if not found:
            return Result("The documents say nothing about this.")
        text = "\n\n".join(f"[{one.document}] {one.text}" for one in found)
        return Result(text[:MAX_CHARS], found=found)
