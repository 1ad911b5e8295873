"""What an agent can be told beyond its instructions; all of it has a default."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from project_service.agents.providers import Providers
from project_service.agents.tools import MAX_TOOLS, Tool, check_together
from shared.e164 import E164

CAMEL = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)
TestName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class Voicemail(BaseModel):
    """What to do when a machine answers."""

    model_config = CAMEL

    action: Literal["hang_up", "leave_message"] = "hang_up"
    message: Text | None = None

    @model_validator(mode="after")
    def _has_something_to_leave(self) -> Self:
        if self.action == "leave_message" and self.message is None:
            raise ValueError("leave_message needs a message.")
        return self


class Detection(BaseModel):
    """What to do once it is sure that no person has answered. Without `voicemail` the action of `voicemail` counts.

    A screening assistant is told who calls and why, from the instructions; the person it connects is greeted as usual.
    `leave_message` leaves the message of `voicemail`; where there is none, the agent hangs up.
    """

    model_config = CAMEL

    voicemail: Literal["hang_up", "leave_message", "continue"] | None = None
    screening: Literal["answer", "hang_up", "continue"] = "answer"
    ivr: Literal["hang_up", "continue"] = "continue"


class TurnTaking(BaseModel):
    """How the agent knows that the other party has finished.

    `question` waits shortly after yes/no questions and long for numbers, `sentence` also longer after words that no
    sentence ends with, `fixed` always `waitMs`. Without `waitMs` half a second is usual.
    """

    model_config = CAMEL

    strategy: Literal["question", "sentence", "fixed"] = "question"
    wait_ms: Annotated[int, Field(ge=200, le=3000)] = 500


class OnFailure(BaseModel):
    """What becomes of a call whose speech or language engines are all broken: an apology, or this number."""

    model_config = CAMEL

    transfer_to: E164 | None = None


class AnalysisQuestion(BaseModel):
    """A question that is answered after every call. A `Selector` is answered with one of its options."""

    model_config = CAMEL

    question: Text
    type: Literal["Boolean", "Text", "Number", "Selector"]
    options: list[Text] | None = Field(None, max_length=50)

    @model_validator(mode="after")
    def _selects_from_something(self) -> Self:
        if self.type == "Selector" and not self.options:
            raise ValueError("A Selector needs options.")
        return self


class AgentSettings(BaseModel):
    """How an agent talks and when it stops. `firstMessage` may hold `{{variables}}`."""

    model_config = CAMEL

    first_message: Text | None = None
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")] = "en-US"
    temperature: float = Field(0.4, ge=0, le=2)
    max_call_seconds: int = Field(1800, ge=10, le=14400)
    silence_timeout_seconds: float = Field(6, ge=2, le=120)
    voicemail: Voicemail = Voicemail()
    detection: Detection = Detection()
    turn_taking: TurnTaking = TurnTaking()
    on_failure: OnFailure = OnFailure()
    recording_enabled: bool = True
    analysis_questions: list[AnalysisQuestion] = Field(default_factory=list, max_length=50)
    transfer_numbers: list[E164] = Field(default_factory=list, max_length=20)
    providers: Providers = Providers()
    tools: list[Tool] = Field(default_factory=list, max_length=MAX_TOOLS)
    required_tests: list[TestName] = Field(
        default_factory=list,
        max_length=50,
        description="Scenarios that a version must have passed (POST /agent/{agentId}/test) before calls run with it.",
    )

    @model_validator(mode="after")
    def _has_tools_that_work(self) -> Self:
        check_together(self.tools)
        return self
