"""What can go wrong with a request about tests of agents."""

from shared.errors import ConflictError, NotFoundError, UnavailableError


class AgentTestNotFoundError(NotFoundError):
    """There is no test with this id of this agent; tests are kept for thirty days."""

    code = "agent_test_not_found"


class NoAgentTestsError(NotFoundError):
    """There is no agent with this id, or it was not tested within thirty days."""

    code = "agent_tests_not_found"


class TooManyTestsError(ConflictError):
    """Five of your tests are open already; wait until one is finished."""

    code = "too_many_tests"


class ScenarioCheckersBusyError(UnavailableError):
    """More scenarios than can be checked wait already, yours or those of others; try again in a few seconds."""

    code = "scenario_checkers_busy"
    retry_after_seconds = 5
