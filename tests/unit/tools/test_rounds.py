"""How often a model is asked within one answer, and in what order what it wants is done."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from call_service.llm.messages import ToolCall
from call_service.tools.built_in import BASIC, send_dtmf, transfer
from call_service.tools.exchange import Exchange
from call_service.tools.rounds import ROUNDS, in_rounds
from call_service.tools.tool import Result
from call_service.tools.toolbox import Toolbox
from call_service.voice.ports import BrainOutput, EndCall, Press, Say, Spoken, Transfer, Working

NUMBER = "+12025550101"
HI, BYE, NOISE = Say("Hi."), Say("Bye."), Spoken("item", b"\1\0", "Hi.", lambda _ms: None)


class LookUp:
    """Takes its time."""

    name = kind = "look_up"
    description = "Looks something up."
    parameters: dict[str, Any] = {"type": "object"}  # noqa: RUF012 # nobody changes it
    filler = "One second."
    follow_up = "always"

    def __init__(self, seconds: float = 0, error: str | None = None) -> None:
        self.seconds = seconds
        self.error = error

    async def run(self, arguments: Any, use_id: str) -> Result:
        await asyncio.sleep(self.seconds)
        return Result("Found.", self.error)


def call(name: str) -> ToolCall:
    return ToolCall(f"call_{name}", name, {"keys": "1"} if name == "send_dtmf" else {})


class Model:
    """Says in each round what it was given; a `ToolCall` it calls."""

    def __init__(self, *rounds: Sequence[BrainOutput | ToolCall], tool: LookUp | None = None) -> None:
        self.rounds = rounds
        self.asked: list[bool] = []
        self.toolbox = Toolbox([*BASIC, send_dtmf(), transfer([NUMBER], "blind", "", None), tool or LookUp()])

    async def ask(self, calls: list[ToolCall], is_last: bool) -> AsyncGenerator[BrainOutput]:
        self.asked.append(is_last)
        for part in self.rounds[len(self.asked) - 1]:
            if isinstance(part, ToolCall):
                calls.append(part)
            else:
                yield part

    def use(self, calls: Sequence[ToolCall]) -> Exchange:
        return self.toolbox.use(calls, None)

    async def answer(self, last: BrainOutput | None = None) -> list[BrainOutput]:
        found = [output async for output in in_rounds(self.ask, self.use, last)]
        await self.toolbox.close()
        return [output for output in found if output != Working()]


@pytest.mark.parametrize(
    ("rounds", "outputs"),
    [
        ([[HI]], [HI]),
        ([[call("look_up")], [HI]], [HI]),
        ([[HI, call("look_up")], [BYE]], [HI, BYE]),
        ([[HI, EndCall(), call("end_call")]], [HI, EndCall()]),
        ([[EndCall(), call("end_call")], [BYE]], [BYE, EndCall()]),
        ([[NOISE, call("transfer_call")]], [NOISE, Transfer(NUMBER)]),
        ([[call("transfer_call")], [NOISE]], [NOISE, Transfer(NUMBER)]),
        ([[call("transfer_call"), call("look_up")], [EndCall(), BYE]], [BYE, Transfer(NUMBER)]),
        ([[call("send_dtmf")]], [Press("1")]),
        ([[HI, call("look_up")], [call("collect")], [BYE]], [HI, BYE]),  # the value was noted in silence
    ],
)
async def test_it_is_asked_until_it_has_nothing_to_add(
    rounds: list[list[BrainOutput | ToolCall]], outputs: list[BrainOutput]
) -> None:
    model = Model(*rounds)
    assert await model.answer() == outputs
    assert len(model.asked) == len(rounds)


async def test_the_last_round_is_for_words() -> None:
    model = Model(*[[call("look_up")]] * ROUNDS)
    assert await model.answer() == []
    assert model.asked == [False] * (ROUNDS - 1) + [True]


async def test_what_is_given_comes_last_unless_the_model_wants_to_leave_otherwise() -> None:
    assert await Model([BYE]).answer(EndCall()) == [BYE, EndCall()]
    assert await Model([BYE, EndCall()]).answer(EndCall()) == [BYE, EndCall()]


async def test_a_failure_is_heard_of_even_where_there_was_nothing_to_add() -> None:
    wrong = ToolCall("call_1", "send_dtmf", {"keys": "one"})
    assert await Model([wrong], [HI]).answer() == [HI]


async def test_the_models_time_begins_when_its_tools_have_ended() -> None:
    model = Model([call("look_up")], [HI], tool=LookUp(0.2))
    loop = asyncio.get_running_loop()
    times = [(output, loop.time()) async for output in in_rounds(model.ask, model.use)]
    assert [output for output, _ in times] == [Working(), Working(), HI]
    assert times[1][1] - times[0][1] >= 0.19


async def test_the_answer_behind_a_silent_tool_has_the_time_of_an_answer() -> None:
    """Both answers together had to come in the time of one, or the model was taken for late."""
    noted = ToolCall("call_collect", "collect", {"field": "day", "value": "Friday"})
    model = Model([noted], [HI])
    assert [output async for output in in_rounds(model.ask, model.use)] == [Working(), HI]
    spoken = Model([HI, noted])
    assert [output async for output in in_rounds(spoken.ask, spoken.use)] == [HI]
