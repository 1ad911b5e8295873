"""What an agent can be told beyond its instructions; all of it has a default."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from shared.e164 import E164

CAMEL = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)
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
    recording_enabled: bool = True
    analysis_questions: list[AnalysisQuestion] = Field(default_factory=list, max_length=50)
    transfer_numbers: list[E164] = Field(default_factory=list, max_length=20)
