"""Numbers that JSON and Postgres can't keep are no answers: one broke the end of its call for ever."""

from typing import Any, cast

import pytest

from call_service.analysis import CallFacts, Question, analyze
from call_service.analysis.by_llm import LlmAnalysis
from call_service.llm import LlmClient
from call_service.voice.ports import Turn

ASKED = Question(question="What is the account number?", type="Number")


class Model:
    """A language model that answers one question."""

    def __init__(self, answer: Any, **changes: Any) -> None:
        self._json = {"sentiment": "neutral", "summary": "They talked.", "answers": [{"answer": answer}], **changes}

    async def complete_json(self, _messages: object, schema: type[LlmAnalysis]) -> LlmAnalysis:
        return schema.model_validate(self._json)


async def by_llm(question: Question, answer: Any, **changes: Any) -> Any:
    return await analyze([], [question], CallFacts(to="+12025550100"), cast(LlmClient, Model(answer, **changes)))


@pytest.mark.parametrize(
    ("digits", "answer"),
    [
        ("123456789012345", 123456789012345),
        ("1234567890123456", None),
        ("12345678901234567890123", None),
        ("9" * 400, None),
    ],
)
async def test_by_rules(digits: str, answer: int | None) -> None:
    turns = [Turn("agent", "What is your account number?", 0, 1), Turn("user", f"It is {digits}.", 2, 3)]
    [found] = (await analyze(turns, [ASKED], CallFacts(to="+12025550100"))).answers
    assert found.answer == answer
    assert (found.reason is None) == (answer is not None)


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("-123,456.5", -123456.5),
        (123456789012345, 123456789012345),
        (12345678901234567890123, None),
        ("1" * 5000, None),
        ("1." + "1" * 400, None),
    ],
)
async def test_by_a_language_model(given: Any, answer: float | None) -> None:
    [found] = (await by_llm(ASKED, given)).answers
    assert found.answer == answer
    assert (found.reason is None) == (answer is not None)


async def test_a_language_model_s_text_can_be_stored() -> None:
    result = await by_llm(Question(question="Who?", type="Text"), "An\x00na", summary="A\x00 call.")
    assert (result.summary, result.answers[0].answer) == ("A call.", "Anna")
