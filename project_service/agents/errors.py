"""What can go wrong with an agent."""

from shared.errors import NotFoundError


class NoAgentsError(NotFoundError):
    """This project has no agents."""

    code = "agents_not_found"
