"""Bodies of requests and answers about agents."""

from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, StringConstraints, model_validator

from project_service.agents.settings import CAMEL, AgentSettings
from project_service.fields import AGENT_ID, PROJECT_ID, Id, Moment, Name, success
from project_service.projects.schemas import Project
from project_service.voices.catalogue import DEFAULT_VOICE, VoiceId
from shared.e164 import E164
from shared.envelope import Success

Instruction = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50_000)]

_INSTRUCTION = (
    "You are the front desk of Bright Dental. {{customer}} asked for an appointment: agree on a day and time."
)
_CONTENT: dict[str, Any] = {
    "name": "Front desk",
    "systemInstruction": _INSTRUCTION,
    "voice_id": "heart",
    **AgentSettings.model_validate({"firstMessage": "Hello {{customer}}, this is Bright Dental."}).model_dump(
        mode="json", by_alias=True
    ),
}
AGENT_EXAMPLE: dict[str, Any] = {
    "id": AGENT_ID,
    "agentId": AGENT_ID,
    "projectId": PROJECT_ID,
    **_CONTENT,
    "phoneNumber": "+12025550199",
    "version": 1,
    "created_at": "2026-11-25T09:00:00.000Z",
    "updated_at": "2026-11-25T09:00:00.000Z",
}


class Agent(AgentSettings):
    """An agent, as every answer and event shows it."""

    model_config = ConfigDict(json_schema_extra={"example": AGENT_EXAMPLE})

    id: str
    agent_id: str
    name: str
    project_id: str
    system_instruction: str
    voice_id: str = Field(alias="voice_id")
    phone_number: str | None
    version: int
    created_at: Moment = Field(alias="created_at")
    updated_at: Moment = Field(alias="updated_at")


class AgentVersion(AgentSettings):
    """An agent as it was from `created_at` until the next version."""

    version: int
    name: str
    system_instruction: str
    voice_id: str = Field(alias="voice_id")
    created_at: Moment = Field(alias="created_at")


class CreateAgent(AgentSettings):
    """A new agent. `systemInstruction` may hold `{{variables}}` that each call fills."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"projectId": PROJECT_ID, **_CONTENT, "phoneNumber": "+12025550199"}}
    )

    project_id: Id
    name: Name
    system_instruction: Instruction
    voice_id: VoiceId = Field(DEFAULT_VOICE, alias="voice_id")
    phone_number: E164 | None = None


class AgentReference(BaseModel):
    """Which agent."""

    model_config = CAMEL | ConfigDict(json_schema_extra={"example": {"projectId": PROJECT_ID, "agentId": AGENT_ID}})

    project_id: Id
    agent_id: Id


class UpdateAgent(AgentSettings):
    """What to change; what is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"projectId": PROJECT_ID, "agentId": AGENT_ID, "name": "Night desk"}}
    )

    project_id: Id
    agent_id: Id
    name: Name | None = None
    system_instruction: Instruction | None = None
    voice_id: VoiceId | None = Field(None, alias="voice_id")
    phone_number: E164 | None = None

    @model_validator(mode="after")
    def _names_a_change(self) -> Self:
        if self.model_fields_set <= {"project_id", "agent_id"}:
            raise ValueError("Give at least one field to change.")
        return self


class VersionList(BaseModel):
    """A page of an agent's versions, newest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "data": [{"version": 1, **_CONTENT, "created_at": "2026-11-25T09:00:00.000Z"}],
                "next_cursor": None,
            }
        }
    )

    data: SkipValidation[list[AgentVersion]]
    next_cursor: str | None


class AgentCreated(Success):
    """The agent exists."""

    model_config = success("successfully created agent.", data=AGENT_EXAMPLE)

    message: str = "successfully created agent."
    data: SkipValidation[Agent]


class AgentUpdated(Success):
    """The agent as it is now."""

    model_config = success("agent data updated successfully.", data=AGENT_EXAMPLE)

    message: str = "agent data updated successfully."
    data: SkipValidation[Agent]


class AgentDeleted(Success):
    """The agent makes no more calls."""

    model_config = success("Agent Deleted")

    message: str = "Agent Deleted"


class PrepareCall(BaseModel):
    """Which project and agent a call is for; without an agent the project's active one."""

    model_config = CAMEL

    project_id: Id
    agent_id: Id | None = None
    is_test: bool = Field(False, description="The newest version, whether or not it has passed its tests.")


class CalledNumber(BaseModel):
    """The number that somebody calls, and the users whose it may be."""

    e164: E164
    tenants: list[UUID] = Field(min_length=1, max_length=1_000)


class CalledAgent(BaseModel):
    """Whose number it is, and the agent that answers it as of now; None when it has none."""

    model_config = CAMEL

    tenant: str
    project_id: str
    agent: SkipValidation[Agent | None]


class PreparedCall(BaseModel):
    """What a call needs to know, as of now."""

    project: Project
    agent: SkipValidation[Agent]
    from_number: str | None
