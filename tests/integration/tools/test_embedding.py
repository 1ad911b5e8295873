"""The real model of embeddings: meaning, not words, and off the event loop."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from call_service.tools.embedding import Embedder, load_embedder
from call_service.tools.library import NEAR, Shelf

PASSAGES = [
    ("returns.md", "Returns: Items are taken back within thirty days when the receipt is shown."),
    ("visit.md", "Parking: You can leave your car free of charge in the yard behind the building."),
    ("hours.md", "Opening hours: Monday to Friday from nine to five, on Saturdays until noon."),
    ("prices.md", "Prices: A filling costs 120 dollars, a crown 900 dollars."),
    ("staff.md", "Dr. Lee is our orthodontist; she sees children and adults with braces."),
    ("payment.md", "Payment: We take cash, cards and most insurance plans."),
]


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    loaded = asyncio.run(load_embedder("local"))
    yield loaded
    loaded.close()


@pytest.fixture
async def shelf(embedder: Embedder) -> Shelf:
    return Shelf("r", PASSAGES, await embedder.embed([text for _, text in PASSAGES]), 0)


@pytest.mark.parametrize(
    ("question", "document"),
    [
        ("Can I bring something back that I do not like?", "returns.md"),
        ("Where do I put my vehicle?", "visit.md"),
        ("Are you there on the weekend?", "hours.md"),
        ("How expensive is it to repair a tooth?", "prices.md"),
        ("Who straightens teeth?", "staff.md"),
        ("Can I pay with Visa?", "payment.md"),
    ],
)
async def test_questions_in_other_words_find_their_passage(
    embedder: Embedder, shelf: Shelf, question: str, document: str
) -> None:
    found = shelf.nearest(await embedder.embed([question]))
    assert found[0].document == document


async def test_what_has_nothing_to_do_with_it_is_not_near(embedder: Embedder, shelf: Shelf) -> None:
    vectors = await embedder.embed(["What is the capital of Mongolia?", "Who won the cup final?"])
    assert (shelf.vectors @ vectors.T).max() < NEAR


async def test_vectors_have_length_one_and_do_not_depend_on_their_neighbours(embedder: Embedder) -> None:
    alone = await embedder.embed(["We open at nine."])
    among = await embedder.embed(["One.", "Two.", "Three.", "Four.", "We open at nine.", "word " * 2000])
    assert among.shape == (6, 384)
    assert np.allclose(np.linalg.norm(among, axis=1), 1)
    assert np.allclose(alone[0], among[4])
    assert (await embedder.embed([])).shape == (0, 384)


async def test_the_event_loop_runs_on_meanwhile(embedder: Embedder) -> None:
    working = asyncio.create_task(embedder.embed(["word " * 120] * 24))
    turns = 0
    while not working.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 20  # a blocked loop comes round once


async def test_a_question_does_not_wait_for_all_of_somebodys_documents(embedder: Embedder) -> None:
    """By order, not by time: the question is answered before the documents are through."""
    documents = asyncio.create_task(embedder.embed(["word " * 120] * 60))
    await asyncio.sleep(0)
    await embedder.embed(["Where can I park?"])
    assert not documents.done()
    await documents
