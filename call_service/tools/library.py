"""The documents of agents, as far as calls need them: read once, kept while they do not change."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import structlog
from cachetools import LRUCache

from call_service.tools.embedding import Embedder, Vectors
from call_service.tools.tool import Found
from shared.single_flight import SingleFlight

log = structlog.get_logger(__name__)

# Of one worker: two dozen agents with as many documents as they may have (2.6 MB each), thousands with few.
MAX_BYTES = 64 << 20
FRESH_SECONDS = 15
BEST = 4
# Below this a passage has nothing to do with the question (unrelated sentences: 0.0 to 0.2).
NEAR = 0.25


class DocumentDirectory(Protocol):
    """Knows the documents of a tenant's agents."""

    async def passages(self, tenant: str, agent_id: str, known: str | None) -> Mapping[str, Any]:
        """`{"revision": …, "passages": [{"document": …, "text": …}]}`; null for the passages of the `known` revision.

        Raises:
            ProjectServiceUnavailableError
        """


@dataclass(frozen=True, slots=True)
class Shelf:
    """The passages of one agent, with their vectors."""

    revision: str
    passages: Sequence[tuple[str, str]]  # document, text
    vectors: Vectors
    checked_at: float

    @property
    def size(self) -> int:
        """The memory it takes, in bytes."""
        texts = sum(sys.getsizeof(passage) + sum(map(sys.getsizeof, passage)) for passage in self.passages)
        return sys.getsizeof(self) + self.vectors.nbytes + texts

    def nearest(self, question: Vectors) -> tuple[Found, ...]:
        """The passages that are near a question ([1, dimensions]), best first."""
        if not self.passages:
            return ()
        scores = self.vectors @ question[0]
        best = np.argsort(scores)[::-1][:BEST]
        return tuple(
            Found(self.passages[place][1], self.passages[place][0], round(float(scores[place]), 3))
            for place in best
            if scores[place] >= NEAR
        )


def _noted(filled: "asyncio.Future[Shelf]") -> None:
    if not filled.cancelled() and (error := filled.exception()):
        log.warning("documents not read", error=repr(error))


class Library:
    """Shelves by agent; in all they take `max_bytes` at most. Calls that begin together fill a shelf once."""

    def __init__(self, directory: DocumentDirectory, embedder: Embedder, *, max_bytes: int = MAX_BYTES) -> None:
        self._directory = directory
        self._embedder = embedder
        self._shelves: LRUCache[tuple[str, str], Shelf] = LRUCache(max_bytes, lambda shelf: shelf.size)
        self._filling = SingleFlight[tuple[str, str], Shelf]()

    async def shelf(self, tenant: str, agent_id: str) -> Shelf:
        """The documents as of now, or a few seconds ago. Raises ProjectServiceUnavailableError."""
        agent = (tenant, agent_id)
        shelf = self._shelves.get(agent)
        if shelf and asyncio.get_running_loop().time() - shelf.checked_at < FRESH_SECONDS:
            return shelf
        return await self._filling.run(agent, partial(self._fill, agent, shelf))

    def warm(self, tenant: str, agent_id: str) -> None:
        """A call begins that may look something up."""
        asyncio.ensure_future(self.shelf(tenant, agent_id)).add_done_callback(_noted)

    async def find(self, tenant: str, agent_id: str, question: str) -> tuple[Found, ...]:
        """What the documents say about a question, best first. Raises ProjectServiceUnavailableError."""
        shelf = await self.shelf(tenant, agent_id)
        return shelf.nearest(await self._embedder.embed([question]))

    async def close(self) -> None:
        """Stop what is being filled."""
        await self._filling.close()

    async def _fill(self, agent: tuple[str, str], before: Shelf | None) -> Shelf:
        found = await self._directory.passages(*agent, before.revision if before else None)
        now = asyncio.get_running_loop().time()
        if before and found["passages"] is None:
            shelf = Shelf(before.revision, before.passages, before.vectors, now)
        else:
            passages = [(one["document"], one["text"]) for one in found["passages"]]
            vectors = await self._embedder.embed([text for _, text in passages])
            shelf = Shelf(found["revision"], passages, vectors, now)
        with suppress(ValueError):  # larger than all of the room: read again when it is wanted
            self._shelves[agent] = shelf
        return shelf
