"""Bodies of requests and answers about projects."""

from typing import Annotated, Any, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from project_service.fields import AGENT_ID, PROJECT_ID, Id, Moment, Name, success
from shared.envelope import Success
from shared.pagination import MAX_PAGE, PageQuery

USER_ID = "0192f0c1-3333-7c44-9f3e-1b2a4c5d6e7f"
URL = "https://example.com/talkstack"

Description = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)]
Url = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2048)]
_URL_NAMES = AliasChoices("webhookUrl", "webhookURL", "call_status_webhook")
OptionalUrl = Annotated[Url | None, Field(validation_alias=_URL_NAMES)]

_EXAMPLE: dict[str, Any] = {
    "id": PROJECT_ID,
    "name": "Front desk",
    "user_id": USER_ID,
    "status": "ACTIVE",
    "description": "Answers and calls back.",
    "is_deleted": False,
    "call_status_webhook": URL,
    "active_agent": AGENT_ID,
    "created_at": "2026-11-25T09:00:00.000Z",
    "updated_at": "2026-11-25T09:00:00.000Z",
}


class Project(BaseModel):
    """A project, as every answer and event shows it."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    id: str
    name: str
    user_id: str
    status: str
    description: str
    is_deleted: bool
    call_status_webhook: str | None
    active_agent: str | None
    created_at: Moment
    updated_at: Moment


class CreateProject(BaseModel):
    """A new project; its name is unique among the user's."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "Front desk", "description": "Answers and calls back."}}
    )

    name: Name
    description: Description
    webhook_url: OptionalUrl = None


class UpdateProject(BaseModel):
    """What to change: at least one of name and description, and the webhook's URL beside it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"name": "Front desk", "description": "Answers and calls back.", "webhookUrl": URL}
        }
    )

    name: Name | None = None
    description: Description | None = None
    webhook_url: OptionalUrl = None

    @model_validator(mode="after")
    def _names_a_change(self) -> Self:
        if self.name is None and self.description is None:
            raise ValueError("Give at least one of name and description.")
        return self


class DeleteProject(BaseModel):
    """How to delete: `cascade` takes the project's agents and phone numbers with it."""

    model_config = ConfigDict(json_schema_extra={"example": {"cascade": True}})

    cascade: bool = False


class ProjectReference(BaseModel):
    """Which project."""

    model_config = ConfigDict(json_schema_extra={"example": {"projectId": PROJECT_ID}})

    project_id: Id = Field(alias="projectId")


class AddWebhookUrl(ProjectReference):
    """Where the events of the project's calls go."""

    model_config = ConfigDict(json_schema_extra={"example": {"projectId": PROJECT_ID, "webhookURL": URL}})

    webhook_url: Url = Field(validation_alias=AliasChoices("webhookURL", "webhookUrl", "call_status_webhook"))


class SetActiveAgent(ProjectReference):
    """Which agent talks when a call names none."""

    model_config = ConfigDict(json_schema_extra={"example": {"projectId": PROJECT_ID, "active_agent": AGENT_ID}})

    active_agent: Id


class ListQuery(PageQuery):
    """A page of projects; without parameters as long as one can be, for clients that know of no pages."""

    model_config = ConfigDict(extra="ignore")

    limit: int = Field(MAX_PAGE, ge=1, le=MAX_PAGE)


class ProjectAnswer(Success):
    """One project."""

    model_config = success("successfully fetched project data.", data=_EXAMPLE)

    message: str = "successfully fetched project data."
    data: Project


class ProjectCreated(ProjectAnswer):
    """The project exists."""

    model_config = success("successfully created project.", data=_EXAMPLE)

    message: str = "successfully created project."


class ProjectUpdated(ProjectAnswer):
    """The project as it is now."""

    model_config = success("successfully updated project info.", data=_EXAMPLE)

    message: str = "successfully updated project info."


class ProjectList(Success):
    """A page of projects, newest first."""

    model_config = success("successfully fetched project list.", data=[_EXAMPLE], next_cursor=None)

    message: str = "successfully fetched project list."
    data: list[Project]
    next_cursor: str | None


class ProjectDeleted(Success):
    """The project takes no more calls."""

    model_config = success("successfully deleted project.")

    message: str = "successfully deleted project."


class WebhookAdded(Success):
    """The URL is registered. `signingSecret` is there the first time only: nobody is shown it again."""

    model_config = success("added webhook url.", signingSecret="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")

    message: str = "added webhook url."
    signing_secret: str | None = Field(None, serialization_alias="signingSecret", exclude_if=lambda secret: not secret)


class ActiveAgent(Success):
    """The project's active agent."""

    model_config = success("fetched active agent.", active_agent=AGENT_ID)

    message: str = "fetched active agent."
    active_agent: str


class ActiveAgentSet(Success):
    """The project with its new active agent."""

    model_config = success("updated active agent successfully.", project=_EXAMPLE)

    message: str = "updated active agent successfully."
    project: Project


class ActiveAgentRemoved(Success):
    """The project has no active agent now."""

    model_config = success("Removed active agent from project successfully.")

    message: str = "Removed active agent from project successfully."
