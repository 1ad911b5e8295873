"""What the project service said about a number is remembered: briefly while it answers, longer while it is away."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from call_service.calls.errors import PhoneNumberUnknownError
from call_service.inbound import directory
from call_service.inbound.directory import NumberDirectory
from call_service.projects import CalledNumber, ProjectServiceUnavailableError

FOUND = CalledNumber("t", "p", {"name": "Maya"})


class Source:
    """A project service, and a clock."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.hangs = False
        self.time = datetime(2026, 11, 25, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    async def called(self, tenants: Sequence[str], number: str) -> CalledNumber:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.error:
            raise self.error
        return FOUND


async def test_it_is_asked_again_after_five_seconds() -> None:
    source = Source()
    numbers = NumberDirectory(source, source)
    for _ in range(3):
        assert await numbers.called(["t"], "+1") is FOUND
    assert source.asked == 1
    source.time += timedelta(seconds=6)
    await numbers.called(["t"], "+1")
    await numbers.called(["other"], "+1")
    assert source.asked == 3


@pytest.mark.parametrize("hangs", [False, True])
async def test_an_outage_is_bridged_for_ten_minutes(monkeypatch: pytest.MonkeyPatch, hangs: bool) -> None:
    monkeypatch.setattr(directory, "TIMEOUT_SECONDS", 0.01)
    source = Source()
    numbers = NumberDirectory(source, source)
    await numbers.called(["t"], "+1")
    source.hangs, source.error = hangs, ProjectServiceUnavailableError()
    source.time += timedelta(minutes=9)
    assert await numbers.called(["t"], "+1") is FOUND
    source.time += timedelta(minutes=2)
    with pytest.raises(ProjectServiceUnavailableError):
        await numbers.called(["t"], "+1")


async def test_a_number_that_is_gone_is_gone() -> None:
    source = Source()
    numbers = NumberDirectory(source, source)
    await numbers.called(["t"], "+1")
    source.error = PhoneNumberUnknownError()
    source.time += timedelta(seconds=6)
    with pytest.raises(PhoneNumberUnknownError):
        await numbers.called(["t"], "+1")


async def test_it_remembers_a_thousand_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "MAX_NUMBERS", 2)
    source = Source()
    numbers = NumberDirectory(source, source)
    for number in ("1", "2", "3", "1"):
        await numbers.called(["t"], number)
    assert source.asked == 4
