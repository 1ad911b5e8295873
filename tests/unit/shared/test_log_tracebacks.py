"""A traceback in the log once showed the local variables of each frame, a DSN with its password among them."""

import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from shared.logging import configure_logging


@pytest.fixture
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.usefixtures("_restored_logging")
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_logged_exception_tells_no_local_variable(
    log_format: Literal["json", "text"], capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("tests", log_format=log_format)
    local_secret = f"{log_format}-hunter2"  # not in the source line, which a traceback does show
    try:
        int(local_secret[0])
    except ValueError:
        structlog.get_logger("tests").exception("failed")
    logged = capsys.readouterr().out
    assert "ValueError" in logged
    assert "failed" in logged
    assert local_secret not in logged
