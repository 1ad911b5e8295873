"""One whole stack for these tests: every service in its own process, real Postgres, RabbitMQ and speech."""

import pytest

from tests.support.whole_stack import QUICK, session, stack

__all__ = ["session", "stack"]

# These tests are one client with many customers.
LIMITS = dict.fromkeys(("LIMIT_IP", "LIMIT_AUTH", "LIMIT_USER", "LIMIT_KEY"), "1000000/1")
SETTINGS = {**QUICK, **LIMITS}


@pytest.fixture(scope="session")
def stack_settings() -> dict[str, str]:
    return SETTINGS
