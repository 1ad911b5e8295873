"""The analysis by a language model: one request, every answer checked, rules when it fails."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import orjson
import pytest
from pydantic import SecretStr

from call_service.analysis import Analysis, CallFacts, Question, analyze
from call_service.llm import LlmClient, LlmSettings
from call_service.voice.ports import Turn
from tests.support.fake_chat_endpoint import SECRET, Behaviour, FakeEndpoint, answers, fails, hangs, running

TURNS = (Turn("agent", "Do you own a car?", 0, 1000), Turn("user", "Yes, two of them.", 1000, 2000))
FACTS = CallFacts(to="+12025550100", seconds=12)
QUESTIONS = (
    Question(question="Do they own a car?", type="Boolean"),
    Question(question="How many cars?", type="Number"),
    Question(question="What colour?", type="Selector", options=("Red", "Blue")),
    Question(question="What else?", type="Text"),
)


@asynccontextmanager
async def llm_that(behaviour: Behaviour) -> AsyncIterator[tuple[LlmClient, FakeEndpoint]]:
    async with running(behaviour) as endpoint:
        patience = timedelta(seconds=0.5 if behaviour is hangs else 20)
        client = LlmClient(LlmSettings(endpoint.base_url, "m", SecretStr(SECRET), patience, patience, attempts=1))
        try:
            yield client, endpoint
        finally:
            await client.close()


async def analysis(behaviour: Behaviour, standing: tuple[Question, ...] = ()) -> tuple[Analysis, FakeEndpoint]:
    async with llm_that(behaviour) as (client, endpoint):
        return await analyze(TURNS, QUESTIONS, FACTS, client, standing=standing), endpoint


def completion(*given: object, sentiment: str = "positive") -> Behaviour:
    listed = [{"answer": answer, "reason": None} for answer in given]
    return answers(orjson.dumps({"sentiment": sentiment, "summary": "They own two cars.", "answers": listed}).decode())


async def test_one_request_answers_everything() -> None:
    result, endpoint = await analysis(completion("yes", "2", "red", "Nothing."))
    assert [answer.answer for answer in result.answers] == ["Yes", 2, "Red", "Nothing."]
    assert (result.sentiment, result.summary, result.source) == ("positive", "They own two cars.", "llm")
    assert len(endpoint.bodies) == 1
    assert "Yes, two of them." in endpoint.bodies[0]["messages"][1]["content"]


async def test_answers_that_do_not_fit_their_question_are_none_with_the_reason() -> None:
    result, _ = await analysis(completion("perhaps", "a few", "Green", None))
    assert [answer.answer for answer in result.answers] == [None] * 4
    assert all(answer.reason for answer in result.answers)


async def test_booleans_and_numbers_may_come_as_json_values() -> None:
    result, _ = await analysis(completion(False, 2.5, "Blue", 7))
    assert [answer.answer for answer in result.answers] == ["No", 2.5, "Blue", "7"]


async def test_standing_questions_go_in_the_same_request() -> None:
    standing = (Question(question="Any complaint?", type="Boolean"),)
    result, endpoint = await analysis(completion("yes", "2", "red", "x", "no"), standing)
    assert result.custom_analysis_data == {"Any complaint?": "No"}
    assert len(endpoint.bodies) == 1


@pytest.mark.parametrize(
    "behaviour", [fails(401), fails(500), hangs, answers("garbage"), completion("yes"), completion(sentiment="sad")]
)
async def test_rules_answer_when_the_model_fails_and_the_result_says_so(behaviour: Behaviour) -> None:
    result, _ = await analysis(behaviour)
    assert result.source == "rules"
    assert result.note
    assert result.note.startswith("Answered by rules: ")
    assert SECRET not in result.note
    assert result.answers[0].answer == "Yes"
