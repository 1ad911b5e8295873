"""Questions as they are asked by API clients, and the analysis that they get."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

QuestionType = Literal["Boolean", "Text", "Number", "Selector"]
Sentiment = Literal["positive", "neutral", "negative"]
AnswerValue = str | int | float | None
# Of a number. With more, readers of JSON that compute in doubles lose some (RFC 7493, 2.2); 20 can't be stored at all.
MAX_DIGITS = 15
_Option = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Question(BaseModel):
    """One question about a call. `Selector` picks exactly one of `options`; the other types have none."""

    model_config = ConfigDict(frozen=True)

    question: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    type: QuestionType
    options: tuple[_Option, ...] | None = Field(default=None, max_length=50)

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if self.type != "Selector":
            return self
        if not self.options or len(self.options) < 2:
            raise ValueError("A Selector question needs at least two options.")
        if len({option.casefold() for option in self.options}) != len(self.options):
            raise ValueError("The options of a Selector question must differ.")
        return self


class Answer(BaseModel):
    """`answer` is "Yes" or "No", a text, a number or one of the options; None when `reason` says why."""

    question: str
    type: QuestionType
    answer: AnswerValue
    reason: str | None = None


class Analysis(BaseModel):
    """The result. `source` says who answered, `note` why it was not the language model although there is one."""

    sentiment: Sentiment
    status: str
    summary: str
    custom_analysis_data: dict[str, AnswerValue]
    answers: list[Answer]
    source: Literal["llm", "rules"]
    note: str | None = None


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of the call apart from its words. `status` and `reason` are those of the public API."""

    to: str
    direction: Literal["outbound", "inbound"] = "outbound"
    status: str = "completed"
    reason: str | None = None
    seconds: float = 0
    agent_name: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
