"""Answers by rules: clear evidence or None with the reason, never a guess."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from call_service.analysis import Analysis, CallFacts, Question, analyze
from call_service.voice.ports import Turn

TURNS = (
    Turn("agent", "Hello, this is Maya from Bright Dental. How can I help you?", 0, 3000),
    Turn("user", "Hi, I would like to make an appointment please.", 3500, 6000),
    Turn("agent", "May I have your name, please?", 6500, 8000),
    Turn("user", "My name is Anna Miller.", 8500, 10000),
    Turn("agent", "Are you a new patient?", 10500, 12000),
    Turn("user", "No, I've been there before.", 12500, 13500),
    Turn("agent", "How satisfied are you with us on a scale from one to ten?", 14000, 17000),
    Turn("user", "Nine, you are great.", 17500, 18500),
    Turn("agent", "How soon would you move?", 19000, 20000),
    Turn("user", "In three to five months.", 20500, 21500),
)
FACTS = CallFacts(
    to="+12025550100",
    reason="callee_hung_up",
    seconds=41.6,
    agent_name="Maya",
    data={"name": "Anna Miller", "day": "Thursday", "time": "15:00", "confirmed": "yes"},
)
OPTIONS = ("appointment", "complaint", "other")


def question(text: str, type_: str, options: tuple[str, ...] | None = None) -> Question:
    return Question.model_validate({"question": text, "type": type_, "options": options})


async def analysis(*questions: Question, turns: tuple[Turn, ...] = TURNS, facts: CallFacts = FACTS) -> Analysis:
    return await analyze(turns, questions, facts)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (question("What is the customer's name?", "Text"), "Anna Miller"),
        (question("Which day did they choose?", "Text"), "Thursday"),
        (question("Did the customer confirm?", "Boolean"), "Yes"),
        (question("Is the caller a new patient?", "Boolean"), "No"),
        (question("How satisfied is the customer (scale 1-10)?", "Number"), 9),
        (question("What was the call about?", "Selector", OPTIONS), "appointment"),
        (question("Which day?", "Selector", ("Wednesday", "Thursday")), "Thursday"),
    ],
)
async def test_clear_evidence_gives_the_answer(asked: Question, answer: str | int) -> None:
    (found,) = (await analysis(asked)).answers
    assert (found.answer, found.reason) == (answer, None)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (question("What is the name of the caller's dog?", "Text"), "The call does not say."),
        (question("What is the order number?", "Text"), "The call does not say."),
        (question("Does the customer own a car?", "Boolean"), "The call does not say."),
        (question("How many children do they have?", "Number"), "The call does not say."),
        (question("What is their e-mail?", "Text"), "The call does not say."),
        (question("How soon would they move, in months?", "Number"), "What was said does not answer it clearly."),
        (question("How do they pay?", "Selector", ("cash", "card")), "The call does not say."),
        (question("What did they mention?", "Selector", ("appointment", "great")), "Several options were mentioned."),
    ],
)
async def test_what_is_not_clear_is_none_with_the_reason(asked: Question, reason: str) -> None:
    (found,) = (await analysis(asked)).answers
    assert (found.answer, found.reason) == (None, reason)


async def test_a_call_without_words_says_so() -> None:
    result = await analysis(question("Did they agree?", "Boolean"), turns=(), facts=CallFacts(to="+12025550105"))
    assert result.answers[0].reason == "The other party said nothing that was understood."
    assert result.sentiment == "neutral"
    assert "said nothing" in result.summary


async def test_the_summary_is_composed_of_facts() -> None:
    assert (await analysis()).summary == (
        "Maya called +12025550100; the call lasted 42 seconds. The other party spoke 5 times. "
        "Collected: name: Anna Miller, day: Thursday, time: 15:00. They confirmed this. "
        "It ended because the other party hung up."
    )


async def test_standing_questions_fill_custom_analysis_data() -> None:
    result = await analyze(
        TURNS, [question("Which day?", "Text")], FACTS, standing=[question("New patient?", "Boolean")]
    )
    assert result.custom_analysis_data == {"New patient?": "No"}
    assert [answer.question for answer in result.answers] == ["Which day?"]
    assert (result.status, result.source, result.note) == ("completed", "rules", None)


@pytest.mark.parametrize(
    ("said", "sentiment"),
    [
        ("That is great, I am very happy with it.", "positive"),
        ("This is terrible, I am really upset.", "negative"),
        ("I am not happy.", "negative"),
        ("It was not bad.", "positive"),
        ("I would like an appointment on Friday. Thank you.", "neutral"),
        ("Good morning. No problem.", "neutral"),
    ],
)
async def test_sentiment(said: str, sentiment: str) -> None:
    assert (await analysis(turns=(Turn("user", said, 0, 1),))).sentiment == sentiment


async def test_the_agent_s_words_are_no_sentiment_and_opting_out_is_negative() -> None:
    assert (await analysis(turns=(Turn("agent", "Great, wonderful!", 0, 1),))).sentiment == "neutral"
    facts = CallFacts(to="+12025550100", data={"opt_out": "yes"})
    assert (
        await analysis(turns=(Turn("user", "Great, but stop calling.", 0, 1),), facts=facts)
    ).sentiment == "negative"


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"question": "Q?", "type": "Selector"}, ()),
        ({"question": "Q?", "type": "Selector", "options": ["one"]}, ()),
        ({"question": "Q?", "type": "Selector", "options": ["a", "A"]}, ()),
        ({"question": "Q?", "type": "Selector", "options": ["a", " "]}, ("options", 1)),
        ({"question": " ", "type": "Text"}, ("question",)),
        ({"question": "Q?", "type": "Date"}, ("type",)),
        ({"type": "Text"}, ("question",)),
    ],
)
def test_bad_questions_are_refused_by_field(raw: dict[str, object], field: tuple[object, ...]) -> None:
    with pytest.raises(ValidationError) as failure:
        Question.model_validate(raw)
    assert failure.value.errors()[0]["loc"] == field


def test_the_api_process_loads_no_engine_for_it() -> None:
    heavy = "{'numpy', 'bm25s', 'snowballstemmer', 'onnxruntime', 'hibari', 'moonshine_voice'}"
    program = f"import sys, call_service.analysis; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
