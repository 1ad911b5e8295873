"""Bodies of the active-project endpoints."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from auth_service.fields import Moment
from shared.envelope import Success

_PROJECT: JsonDict = {
    "name": "Front desk",
    "user_id": "0192f0c1-3333-7c44-9f3e-1b2a4c5d6e7f",
    "status": "ACTIVE",
    "description": "Answers and calls back.",
    "call_status_webhook": "https://example.com/talkstack",
    "id": "0192f0c1-1111-7c44-9f3e-1b2a4c5d6e7f",
}
_USER: JsonDict = {
    "id": "0192f0c1-3333-7c44-9f3e-1b2a4c5d6e7f",
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "verified": True,
    "created_at": "2026-11-25T09:00:00.000Z",
    "updated_at": "2026-11-25T09:00:00.000Z",
    "active_project": _PROJECT["id"],
}


class SetActiveProject(BaseModel):
    """Which project."""

    model_config = ConfigDict(json_schema_extra={"example": {"projectId": _PROJECT["id"]}})

    project_id: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)] = Field(
        alias="projectId"
    )


class ProjectData(BaseModel):
    """A project, as these answers show it."""

    model_config = ConfigDict(json_schema_extra={"example": _PROJECT})

    name: str
    user_id: str
    status: str
    description: str
    call_status_webhook: str | None
    id: str


class UserData(BaseModel):
    """The account with its active project."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": _USER})

    id: str
    name: str
    email: str
    verified: bool = Field(validation_alias="is_verified")
    created_at: Moment
    updated_at: Moment
    active_project: str | None


class ActiveProject(Success):
    """The active project."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"message": "fetched active project data.", "status": "success", "projectData": _PROJECT}
        }
    )

    message: str = "fetched active project data."
    project_data: ProjectData = Field(serialization_alias="projectData")


class ActiveProjectSet(ActiveProject):
    """The project is the active one now; `message` names it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message": f"successfully set project with id {_PROJECT['id']} active.",
                "status": "success",
                "userData": _USER,
                "projectData": _PROJECT,
            }
        }
    )

    message: str
    user_data: UserData = Field(serialization_alias="userData")
