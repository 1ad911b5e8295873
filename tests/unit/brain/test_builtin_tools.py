"""The built-in brain does what it may: transfers, menus, documents."""

from collections.abc import Sequence

import pytest

from call_service.tools.built_in import BASIC, send_dtmf, transfer, wait
from call_service.tools.look_up import LookUp
from call_service.tools.tool import Found, Tool
from call_service.tools.toolbox import Toolbox, Used
from call_service.voice.brain import BuiltinBrain
from call_service.voice.ports import (
    AgentProfile,
    BrainOutput,
    Conversation,
    EndCall,
    Listen,
    Press,
    Say,
    Transfer,
    Working,
)

CLINIC = "You are Maya of Bright Dental. We are open Monday to Friday from nine to five."
CALLER = "You are Tom of Acme. You are calling the company to order ten boxes of paper."
PARKING = Found("Parking: You can park for free in the yard behind the house. The gate closes at six.", "visit.md", 0.7)
NUMBERS = ["+12025550101", "+12025550102"]


class Shelf:
    """What is found, and what was asked."""

    def __init__(self, *found: Found) -> None:
        self.found = found
        self.asked: list[str] = []

    async def __call__(self, question: str) -> Sequence[Found]:
        self.asked.append(question)
        return self.found

    @property
    def tool(self) -> LookUp:
        return LookUp(self, "Find something.", "One moment.")


def talk_with(
    tools: Sequence[Tool], instructions: str = CLINIC, goal: str | None = None
) -> tuple[Conversation, list[Used]]:
    used: list[Used] = []
    toolbox = Toolbox([*BASIC, *tools], used.append, goal=goal)
    return BuiltinBrain().converse(AgentProfile("Agent", instructions), toolbox), used


async def opened(conversation: Conversation) -> None:
    async for _ in conversation.opening():
        pass


async def answer(conversation: Conversation, line: str) -> list[BrainOutput]:
    return [output async for output in conversation.reply(line, []) if output != Working()]


def words(outputs: Sequence[BrainOutput]) -> str:
    return " ".join(output.text for output in outputs if isinstance(output, Say))


async def test_who_asks_for_a_person_is_connected_where_the_agent_may() -> None:
    conversation, used = talk_with([transfer(NUMBERS, "warm", "A caller for you.", None)])
    await opened(conversation)
    assert await answer(conversation, "Can I speak to a real person, please?") == [
        Say("Of course, I will connect you now."),
        Transfer("+12025550101", "warm", "A caller for you."),
    ]
    assert [use.name for use in used] == ["transfer_call"]


async def test_without_the_tool_nobody_is_promised_a_person() -> None:
    conversation, _ = talk_with([])
    await opened(conversation)
    assert "I cannot connect you" in words(await answer(conversation, "Can I speak to a real person, please?"))


async def test_what_the_instructions_do_not_say_is_looked_up() -> None:
    shelf = Shelf(PARKING)
    conversation, used = talk_with([shelf.tool])
    await opened(conversation)
    assert "nine to five" in words(await answer(conversation, "When are you open?"))
    assert shelf.asked == []
    said = words(await answer(conversation, "Where can I park?"))
    assert "You can park for free in the yard behind the house." in said
    assert shelf.asked == ["Where can I park?"]
    assert [use.error for use in used] == [None]


@pytest.mark.parametrize("score", [0.3, 0.7])
async def test_what_shares_no_word_with_the_question_is_said_only_when_it_is_near(score: float) -> None:
    conversation, _ = talk_with([Shelf(Found("Dr. Lee comes on Fridays.", "staff.md", score)).tool])
    await opened(conversation)
    said = words(await answer(conversation, "Is the orthodontist there this week?"))
    assert ("Dr. Lee comes on Fridays." in said) == (score > 0.5)
    assert ("I do not know that" in said) == (score < 0.5)


async def test_what_no_document_says_stays_unknown() -> None:
    conversation, _ = talk_with([Shelf().tool])
    await opened(conversation)
    assert "I do not know that" in words(await answer(conversation, "Where can I park?"))


async def test_the_agent_gets_through_menus_to_the_person_and_says_then_why_it_calls() -> None:
    conversation, used = talk_with([send_dtmf(), wait()], CALLER, "order something")
    await opened(conversation)
    menus = {
        "Thank you for calling Paper Limited. Your call may be recorded.": Listen(),
        "For sales, press one. To order, press two.": Press("2"),
        "For orders by post, press nine.": Press("9"),
        "Your call is important to us. Please hold the line.": Listen(),
        "You are number three in the queue.": Listen(),
    }
    for menu, done in menus.items():
        assert await answer(conversation, menu) == [done]
    assert [use.name for use in used] == ["wait", "send_dtmf", "send_dtmf", "wait", "wait"]
    said = words(await answer(conversation, "Hello, this is Bob, how can I help?"))
    assert "Tom" in said
    assert "ten boxes of paper" in said
    assert Listen() not in await answer(conversation, "Yes, of course.")


@pytest.mark.parametrize(
    "line", ["One moment, please.", "Just a second.", "Hold on, let me get a pen.", "Please wait."]
)
async def test_a_person_who_asks_to_wait_is_no_menu(line: str) -> None:
    conversation, used = talk_with([send_dtmf(), wait()], CALLER, "order something")
    await opened(conversation)
    assert words(await answer(conversation, line))
    assert "ten boxes of paper" in words(await answer(conversation, "Okay. What is this about?"))
    assert used == []


async def test_nobody_is_talked_to_on_hold_and_whoever_comes_back_is() -> None:
    conversation, used = talk_with([send_dtmf(), wait()], CALLER, "order something")
    await opened(conversation)
    assert await answer(conversation, "Please hold, I am connecting you.") == [Listen()]
    assert "ten boxes of paper" in words(await answer(conversation, "Okay. What is this about?"))
    assert [use.name for use in used] == ["wait"]


async def test_without_keys_a_menu_is_talked_to_like_anybody() -> None:
    conversation, _ = talk_with([], CALLER)
    await opened(conversation)
    outputs = await answer(conversation, "For sales, press one. To order, press two.")
    assert not any(isinstance(output, Press | Listen) for output in outputs)


async def test_a_clear_goodbye_ends_the_call() -> None:
    conversation, _ = talk_with([])
    await opened(conversation)
    assert (await answer(conversation, "That is all, goodbye."))[-1] == EndCall()
