"""What can go wrong with a project."""

from project_service.errors import ProjectNotFoundError
from shared.errors import ConflictError, FieldError, InvalidRequestError, NotFoundError


class UnknownProjectError(ProjectNotFoundError):
    """There is no project with this id."""

    status = 400  # as the reference has it for this one endpoint


class ProjectNameTakenError(InvalidRequestError):
    """You have another project with this name."""

    code = "project_name_taken"

    def __init__(self) -> None:
        super().__init__(errors=[FieldError("name", self.code, self.default_message())])


class ProjectNotEmptyError(ConflictError):
    """The project still has agents or phone numbers; delete them, or send cascade: true."""

    code = "project_not_empty"


class ActiveAgentNotSetError(NotFoundError):
    """The project has no active agent."""

    code = "active_agent_not_set"


class AgentNotActiveError(NotFoundError):
    """This agent is not the active one of any of your projects."""

    code = "agent_not_active"
