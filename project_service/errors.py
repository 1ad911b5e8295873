"""Errors that several modules raise."""

from shared.errors import NotFoundError


class ProjectNotFoundError(NotFoundError):
    """There is no project with this id."""

    code = "project_not_found"


class AgentNotFoundError(NotFoundError):
    """There is no agent with this id in this project."""

    code = "agent_not_found"
