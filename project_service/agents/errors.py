"""What can go wrong with an agent."""

from shared.errors import ConflictError, NotFoundError


class NoAgentsError(NotFoundError):
    """This project has no agents."""

    code = "agents_not_found"


class TestsNotPassedError(ConflictError):
    """No version of the agent has passed the tests it requires; play them with POST /agent/{agentId}/test."""

    code = "tests_not_passed"
