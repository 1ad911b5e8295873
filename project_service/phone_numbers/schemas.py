"""Bodies of requests and answers about phone numbers."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from project_service.fields import AGENT_ID, PROJECT_ID, Id, success
from shared.e164 import E164
from shared.envelope import Success
from shared.pagination import PageQuery

NUMBER_ID = "0192f0c1-5555-7c44-9f3e-1b2a4c5d6e7f"

_EXAMPLE: dict[str, Any] = {
    "id": NUMBER_ID,
    "e164": "+12025550199",
    "status": "ASSIGNED",
    "projectId": PROJECT_ID,
    "agentId": AGENT_ID,
}


class PhoneNumber(BaseModel):
    """A number of a project. `ASSIGNED`: an agent calls from it and answers it."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    id: str
    e164: str
    status: Literal["AVAILABLE", "ASSIGNED"]
    project_id: str = Field(serialization_alias="projectId")
    agent_id: str | None = Field(serialization_alias="agentId")


class GetPhoneNumber(BaseModel):
    """Which number: by the first of these that is given."""

    model_config = ConfigDict(json_schema_extra={"example": {"phoneNumberId": NUMBER_ID}})

    phone_number_id: Id | None = Field(None, alias="phoneNumberId")
    agent_id: Id | None = Field(None, alias="agentId")
    project_id: Id | None = Field(None, alias="projectId")

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if not (self.phone_number_id or self.agent_id or self.project_id):
            raise ValueError("Give one of phoneNumberId, agentId and projectId.")
        return self


class AddNumber(BaseModel):
    """A number for an agent."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"e164": "+12025550199", "agentId": AGENT_ID, "projectId": PROJECT_ID}}
    )

    e164: E164
    agent_id: Id = Field(alias="agentId")
    project_id: Id = Field(alias="projectId")


class UnassignNumber(BaseModel):
    """Which number its agent gives back; it stays with the project."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"phoneNumberId": NUMBER_ID}})

    phone_number_id: Id = Field(alias="phoneNumberId")


class ListNumbersQuery(PageQuery):
    """A page of the user's numbers."""

    project_id: Id | None = Field(None, alias="projectId")


class NumberFetched(Success):
    """The number, or the list of a project's numbers when it has several."""

    model_config = success("Phone number details fetched successfully.", data=_EXAMPLE)

    message: str = "Phone number details fetched successfully."
    data: PhoneNumber | list[PhoneNumber]


class NumberAssigned(Success):
    """The agent has the number."""

    model_config = success("PhoneNumber assigned successfully.", data=_EXAMPLE)

    message: str = "PhoneNumber assigned successfully."
    data: PhoneNumber


class NumberList(BaseModel):
    """A page of numbers, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"data": [_EXAMPLE], "next_cursor": None}})

    data: list[PhoneNumber]
    next_cursor: str | None
