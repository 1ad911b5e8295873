"""Decides who analyses a call: the language model, or rules when there is none or it fails."""

from collections.abc import Sequence
from typing import Literal

from call_service.analysis.by_llm import analyze_by_llm
from call_service.analysis.models import Analysis, CallFacts, Question
from call_service.analysis.rules import answer_by_rules
from call_service.analysis.sentiment import sentiment_of
from call_service.analysis.summary import summary_of
from call_service.llm import LlmClient, LlmError
from call_service.voice.ports import Turn


async def analyze(
    turns: Sequence[Turn],
    questions: Sequence[Question],
    facts: CallFacts,
    llm: LlmClient | None = None,
    *,
    standing: Sequence[Question] = (),
) -> Analysis:
    """Analyse one ended call; never raises for the language model's sake.

    `questions` fill `answers`; the project's `standing` ones fill `custom_analysis_data`, by their text.
    """
    asked = [*questions, *standing]
    note = None
    source: Literal["llm", "rules"] = "rules"
    sentiment, summary = sentiment_of(turns, facts), summary_of(turns, facts)
    answers = [answer_by_rules(question, turns, facts) for question in asked]
    if llm:
        try:
            sentiment, summary, answers = await analyze_by_llm(turns, asked, facts, llm)
            source = "llm"
        except LlmError as error:
            note = f"Answered by rules: {error}"
    return Analysis(
        sentiment=sentiment,
        status=facts.status,
        summary=summary,
        custom_analysis_data={answer.question: answer.answer for answer in answers[len(questions) :]},
        answers=answers[: len(questions)],
        source=source,
        note=note,
    )
