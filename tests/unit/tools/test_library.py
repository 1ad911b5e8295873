"""Documents are read once, kept while they do not change, and searched by nearness."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from call_service.projects import ProjectServiceUnavailableError
from call_service.tools import library as libraries
from call_service.tools.embedding import HashedWords, Vectors
from call_service.tools.library import Library

PASSAGES = [
    {"document": "prices.md", "text": "A filling is 120 dollars."},
    {"document": "place.md", "text": "You can park behind the house."},
    {"document": "staff.md", "text": "Dr. Lee works on Fridays."},
]


@dataclass
class Directory:
    """project_service, as far as a library asks it."""

    revision: str = "r1"
    passages_now: Sequence[Mapping[str, str]] = field(default_factory=lambda: list(PASSAGES))
    is_down: bool = False
    asked: list[str | None] = field(default_factory=list)

    async def passages(self, tenant: str, agent_id: str, known: str | None) -> Mapping[str, Any]:
        self.asked.append(known)
        await asyncio.sleep(0)
        if self.is_down:
            raise ProjectServiceUnavailableError
        return {"revision": self.revision, "passages": None if known == self.revision else list(self.passages_now)}


class Counting(HashedWords):
    """Counts the texts that were embedded."""

    def __init__(self) -> None:
        self.texts = 0

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += len(texts)
        return await super().embed(texts)


async def test_the_nearest_passages_come_first_and_the_far_ones_not_at_all() -> None:
    found = await Library(Directory(), HashedWords()).find("t", "a", "Where can I park near the house?")
    assert [(one.document, one.text) for one in found] == [("place.md", "You can park behind the house.")]
    assert 0.25 < found[0].score < 1


async def test_calls_that_begin_together_read_once_and_later_ones_only_what_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(libraries, "FRESH_SECONDS", 0)
    directory, embedder = Directory(), Counting()
    library = Library(directory, embedder)
    await asyncio.gather(*(library.shelf("t", "a") for _ in range(5)))
    assert (directory.asked, embedder.texts) == ([None], 3)
    await library.shelf("t", "a")
    assert (directory.asked, embedder.texts) == ([None, "r1"], 3)
    directory.revision, directory.passages_now = "r2", PASSAGES[:1]
    assert len((await library.shelf("t", "a")).passages) == 1
    assert (directory.asked, embedder.texts) == ([None, "r1", "r1"], 4)


async def test_for_a_few_seconds_nobody_is_asked() -> None:
    directory = Directory()
    library = Library(directory, HashedWords())
    for question in ("park", "filling"):
        assert await library.find("t", "a", question)
    assert directory.asked == [None]
    await library.find("t", "another", "park")
    assert directory.asked == [None, None]


async def test_an_agent_without_documents_finds_nothing() -> None:
    assert await Library(Directory(passages_now=[]), HashedWords()).find("t", "a", "park") == ()


async def test_what_could_not_be_read_is_read_later() -> None:
    directory = Directory(is_down=True)
    library = Library(directory, HashedWords())
    library.warm("t", "a")
    with pytest.raises(ProjectServiceUnavailableError):
        await library.find("t", "a", "park")
    directory.is_down = False
    assert await library.find("t", "a", "park behind the house")


async def test_shelves_are_kept_while_there_is_room_for_their_bytes() -> None:
    size = (await Library(Directory(), HashedWords()).shelf("t", "a")).size
    directory = Directory()
    library = Library(directory, HashedWords(), max_bytes=2 * size)
    for agent in "abab":
        await library.shelf("t", agent)
    assert len(directory.asked) == 2
    for agent in "cba":  # c took the place of a, and a takes that of c
        await library.shelf("t", agent)
    assert len(directory.asked) == 4


async def test_small_shelves_do_not_push_out_one_another() -> None:
    directory = Directory(passages_now=[])
    library = Library(directory, HashedWords())
    for agent in (*range(100), *range(100)):
        await library.shelf("t", str(agent))
    assert len(directory.asked) == 100


async def test_a_shelf_larger_than_all_of_the_room_is_read_each_time() -> None:
    directory = Directory()
    library = Library(directory, HashedWords(), max_bytes=1_000)
    for _ in range(2):
        assert await library.find("t", "a", "park behind the house")
    assert directory.asked == [None, None]


async def test_the_size_of_a_shelf_is_that_of_its_vectors_and_texts() -> None:
    directory = Directory(passages_now=[{"document": "long.md", "text": "word " * 2_000 + "é"}])
    shelf = await Library(directory, HashedWords()).shelf("t", "a")
    assert shelf.vectors.nbytes + 10_000 < shelf.size < shelf.vectors.nbytes + 11_000


async def test_hashed_words_have_length_one_but_for_nothing_said() -> None:
    vectors = await HashedWords().embed(["a filling", "filling a", ""])
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 0])
    assert np.allclose(vectors[0], vectors[1])
