"""What project_service knows of a project (keys of vendors, secrets): kept in memory for seconds and nowhere else."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

from cachetools import TTLCache

from shared.single_flight import SingleFlight

T = TypeVar("T")

# How long a worker goes on using what was changed or deleted.
KEPT_SECONDS = 15
MAX_PROJECTS = 1_000


class Kept(Generic[T]):
    """What `ask` has found by tenant and project. Calls that begin together ask once."""

    def __init__(self, ask: Callable[[str, str], Coroutine[Any, Any, T]]) -> None:
        self._ask = ask
        self._known: TTLCache[tuple[str, str], T] = TTLCache(MAX_PROJECTS, KEPT_SECONDS)
        self._asking = SingleFlight[tuple[str, str], T]()

    async def of(self, tenant: str, project_id: str) -> T:
        """Raises what `ask` raises, and asks again the next time."""
        project = (tenant, project_id)
        if (known := self._known.get(project)) is not None:
            return known
        return await self._asking.run(project, partial(self._learn, project))

    async def _learn(self, project: tuple[str, str]) -> T:
        known = self._known[project] = await self._ask(*project)
        return known
