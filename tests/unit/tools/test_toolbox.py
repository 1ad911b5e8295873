"""What a toolbox makes of tools that fail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from call_service.llm.messages import ToolCall
from call_service.projects import ProjectServiceUnavailableError
from call_service.tools.tool import FollowUp, Result
from call_service.tools.toolbox import Toolbox, Used


@dataclass(frozen=True)
class FailingTool:
    error: Exception
    name: str = "look_up"
    kind: str = "look_up"
    description: str = "Looks something up."
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    filler: str | None = None
    follow_up: FollowUp = "always"

    async def run(self, arguments: Mapping[str, Any], use_id: str) -> Result:
        raise self.error


@pytest.mark.parametrize(
    ("error", "word"), [(ProjectServiceUnavailableError(), "unavailable"), (ValueError("odd"), "internal_error")]
)
async def test_a_tool_that_fails_is_told_by_one_word(error: Exception, word: str) -> None:
    told = list[Used]()
    toolbox = Toolbox([FailingTool(error)], told.append)
    exchange = toolbox.use([ToolCall("c1", "look_up", {})], None)
    result = await exchange.uses[0].task
    await toolbox.close()
    assert (result.error, [use.error for use in told]) == (word, [word])
