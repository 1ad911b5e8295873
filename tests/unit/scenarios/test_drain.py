"""A worker that is told to stop while the database is away."""

from types import SimpleNamespace
from typing import Any

from call_service.scenarios import repository
from call_service.scenarios.player import ScenarioPlayer
from shared.db import DatabaseUnavailableError


async def test_a_drain_does_not_fail_without_a_database(monkeypatch: Any) -> None:
    """It raised, and with it failed the drain of the whole process: live calls were cut."""
    asked: list[str] = []

    async def away(_db: object, owner: str) -> None:
        asked.append(owner)
        raise DatabaseUnavailableError

    async def play(*_: object) -> Any: ...

    monkeypatch.setattr(repository, "give_back", away)
    database: Any = None
    places: Any = SimpleNamespace(unreserve=lambda: None)
    await ScenarioPlayer(database, play, places, owner="w", at_once=1).drain()
    assert asked == ["w"]
