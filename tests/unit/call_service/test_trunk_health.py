"""When a trunk counts as up, and what a test of it came to."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from call_service.trunks.domain import Test as TrunkTest
from call_service.trunks.domain import WorkerState, health

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def state(registered: bool | None, reachable: bool | None) -> WorkerState:
    return WorkerState("w", registered, reachable, None, 0, NOW)


@pytest.mark.parametrize(
    ("states", "registers", "is_"),
    [
        ([], False, "unknown"),
        ([state(None, None)], False, "unknown"),
        ([state(None, True)], False, "up"),
        ([state(None, False)], False, "down"),
        ([state(None, False), state(None, True)], False, "up"),
        ([state(None, True)], True, "unknown"),
        ([state(None, True), state(True, True)], True, "up"),
        ([state(None, True), state(False, True)], True, "down"),
        ([state(True, False)], True, "down"),
    ],
)
def test_health(states: list[WorkerState], registers: bool, is_: str) -> None:
    assert health(states, registers=registers) == is_


@pytest.mark.parametrize(
    ("worker", "steps", "is_finished", "age", "is_"),
    [
        (None, (), False, 59, "waiting"),
        (None, (), False, 61, "expired"),
        ("w", (), False, 61, "running"),
        ("w", (True,), False, 121, "expired"),
        ("w", (True, True), True, 500, "passed"),
        ("w", (True, False), True, 1, "failed"),
        ("w", (), True, 1, "failed"),
    ],
)
def test_status(worker: str | None, steps: tuple[bool, ...], is_finished: bool, age: int, is_: str) -> None:
    found: list[dict[str, Any]] = [{"ok": ok} for ok in steps]
    finished = NOW if is_finished else None
    test = TrunkTest("t", "trunk", None, worker, found, NOW, finished, timedelta(seconds=age))
    assert test.status == is_
