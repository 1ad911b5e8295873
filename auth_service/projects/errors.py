"""Why there is no active project."""

from shared.errors import ApiError, NotFoundError


class UnknownProjectError(ApiError):
    """There is no project with this id."""

    code = "project_not_found"
    status = 400


class NoActiveProjectError(NotFoundError):
    """No active project is set."""

    code = "active_project_not_set"
