"""Scripts of one's own: read, checked, performed."""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from call_service.carriers.port import Cause, DtmfReceived, Ended
from call_service.carriers.scripts import Script, Turn
from call_service.carriers.simulated import ScriptBook, ScriptError
from call_service.carriers.simulated.book import MAX_FILE_BYTES
from call_service.carriers.testing import CallProbe

Perform = Callable[..., Awaitable[tuple[CallProbe, Any]]]

MINE = "+4930123456"


def write(folder: Path, script: object, name: str = "4930123456.json") -> Path:
    (folder / name).write_text(script if isinstance(script, str) else json.dumps(script))
    return folder


def test_the_built_in_numbers_are_those_of_the_table() -> None:
    assert ScriptBook.load().numbers == [f"+12025550{last}" for last in range(100, 114)]


def test_the_page_explains_every_field_of_a_script_and_of_a_turn() -> None:
    page = (Path(__file__).parents[3] / "docs/simulated-callees.md").read_text()
    rows = re.findall(r"^\| (`.+?) \|", page, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == Script.model_fields.keys() | Turn.model_fields.keys()


def test_own_scripts_add_numbers_and_replace_built_in_ones(tmp_path: Path) -> None:
    write(tmp_path, {"description": "mine"})
    write(tmp_path, {"description": "mine too"}, "+12025550101.json")
    book = ScriptBook.load(tmp_path)
    assert len(book.numbers) == 15
    mine, replaced = book.find(MINE), book.find("+12025550101")
    assert mine is not None
    assert replaced is not None
    assert (mine.description, replaced.description, replaced.outcome) == ("mine", "mine too", "answers")


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("{", r"4930123456\.json: Invalid JSON"),
        ({}, r"description: Field required"),
        ({"description": "x", "colour": "red"}, r"colour: Extra inputs"),
        ({"description": "x", "outcome": "explodes"}, r"outcome: Input should be 'answers'"),
        ({"description": "x", "turns": [{"say": "Hi."}, {"after_ms": -1}]}, r"turns\.1\.after_ms: .*greater than"),
        ({"description": "x", "turns": [{"say": ""}]}, r"turns\.0\.say: .*at least 1 character"),
        ({"description": "x", "turns": [{"wait_for": "("}]}, r"turns\.0\.wait_for: .*not a regular expression"),
        ({"description": "x", "turns": [{"wait_for": "([^a]{9}[^b]{9}){50}"}]}, r"turns\.0\.wait_for: .*too large"),
        (
            {
                "description": "x",
                "conversation": {
                    "replies": {str(n): {"match": "a"} for n in range(101)},
                    "otherwise": "Pardon?",
                    "order": [],
                },
            },
            r"conversation\.replies: .*at most 100",
        ),
        ({"description": "x", "turns": [{"dtmf": "1x"}]}, r"turns\.0\.dtmf: .*match pattern"),
        ({"description": "x", "turns": [{"wait_for": "", "interrupt_after_ms": 1}]}, r"turns\.0: .*exclude each other"),
        ({"description": "x", "conversation_of": "0100"}, r"conversation_of: .*match pattern"),
        (
            {"description": "x", "conversation_of": "+12025550101"},
            r"conversation_of: \+12025550101 has no conversation",
        ),
        (
            {
                "description": "x",
                "conversation": {"replies": {"a": {"match": "b"}}, "otherwise": "No.", "order": ["c"]},
            },
            r"conversation: .*order names replies that do not exist: c",
        ),
    ],
)
def test_a_wrong_script_is_refused_with_its_file_and_field(tmp_path: Path, script: object, problem: str) -> None:
    with pytest.raises(ScriptError, match=r"4930123456.*" + problem if isinstance(script, dict) else problem):
        ScriptBook.load(write(tmp_path, script))


@pytest.mark.parametrize("name", ["anna.json", "12.json", "1234567890123456.json", "+.json"])
def test_a_file_is_named_by_its_number(tmp_path: Path, name: str) -> None:
    with pytest.raises(ScriptError, match="the name of a script is its number"):
        ScriptBook.load(write(tmp_path, {"description": "x"}, name))


def test_a_missing_directory_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="is not a directory"):
        ScriptBook.load(tmp_path / "nowhere")
    with pytest.raises(ScriptError, match="larger than 256 KiB"):
        ScriptBook.load(write(tmp_path, " " * (MAX_FILE_BYTES + 1)))


@pytest.fixture
def perform(make_carrier: Callable[..., Any], place: Callable[..., Awaitable[CallProbe]]) -> Perform:
    async def perform(**script: object) -> tuple[CallProbe, Any]:
        book = ScriptBook({MINE: Script.model_validate({"description": "a test", **script})})
        carrier, time, speech = make_carrier(book)
        call = await place(carrier, time, speech, MINE)
        await call.answered()
        return call, time

    return perform


async def test_turns_follow_each_other_with_their_pauses(perform: Perform) -> None:
    call, time = await perform(
        turns=[{"say": "One."}, {"after_ms": 500, "say": "Two."}, {"silence_ms": 300}, {"hang_up": True}]
    )
    start = time.time()
    await call.until(lambda: Ended(Cause.CALLEE_HUNG_UP) in call.events)
    assert await call.heard() == "One. Two."
    spoken_ms = 400 + 420
    assert round((time.time() - start) * 1000) == pytest.approx(spoken_ms + 500 + 300, abs=60)


async def test_a_turn_waits_for_the_words_it_names(perform: Perform) -> None:
    call, _ = await perform(turns=[{"wait_for": "birth ?day", "say": "The first of May."}])
    assert await call.ask("What is your name?") == ""
    assert await call.ask("And your Birthday?") == "The first of May."


async def test_a_turn_may_wait_for_anything(perform: Perform) -> None:
    call, _ = await perform(turns=[{"wait_for": "", "dtmf": "12"}])
    await call.ask("Press one, then two.")
    assert call.events[-2:] == [DtmfReceived("1"), DtmfReceived("2")]


async def test_keys_come_after_the_answer_even_when_they_come_first(perform: Perform) -> None:
    call, time = await perform(turns=[{"dtmf": "7"}])
    await time.advance(100)
    assert call.events[-1] == DtmfReceived("7")
    assert len(call.events) == 3


@pytest.mark.parametrize("words", [2, 5])
async def test_an_interruption_after_words_comes_350_ms_each_after_the_agent_began(
    perform: Perform, words: int
) -> None:
    call, time = await perform(turns=[{"interrupt_after_words": words, "dtmf": "1"}])
    call.leg.play(b"\x00\x20" * 8 * 4_000)
    start = time.time()
    await call.until(lambda: DtmfReceived("1") in call.events)
    assert round((time.time() - start) * 1000) == pytest.approx(words * 350, abs=40)


async def test_what_the_callee_said_is_known_with_its_end(perform: Perform) -> None:
    call, time = await perform(turns=[{"say": "One."}, {"after_ms": 500, "say": "Two."}, {"silence_ms": 5_000}])
    await time.advance(3_000)
    (one, one_ms), (two, two_ms) = call.leg.said
    assert (one, two) == ("One.", "Two.")
    assert two_ms - one_ms == pytest.approx(500 + 420, abs=60)


@pytest.mark.parametrize(("patience_ms", "hangs_up"), [(2_000, True), (None, False)])
async def test_patience(perform: Perform, patience_ms: int | None, hangs_up: bool) -> None:
    call, time = await perform(patience_ms=patience_ms)
    await time.advance(1_900)
    await call.say("Hello?")
    await time.advance(1_900)
    assert len(call.events) == 2
    await time.advance(600 + 200)  # the callee needs 600 ms to know that the agent has finished
    assert (Ended(Cause.CALLEE_HUNG_UP) in call.events) is hangs_up


async def test_a_short_noise_of_the_agent_is_not_taken_for_words(perform: Perform) -> None:
    call, time = await perform(turns=[{"wait_for": "", "say": "Yes?"}])
    call.leg.play(b"\x00\x20" * 160 * 3)
    await time.advance(2_000)
    assert await call.heard() == ""


async def test_after_its_last_turn_a_callee_may_converse_in_its_own_words(perform: Perform) -> None:
    replies = {"colour": {"match": "colou?r", "say": "Blue."}, "bye": {"match": "bye", "hang_up": True}}
    call, _ = await perform(conversation={"replies": replies, "otherwise": "Hm.", "order": ["colour"]})
    assert await call.ask("Which color?") == "Blue."
    assert await call.ask("Which size?") == "Hm."
    await call.say("Bye.")
    await call.until(lambda: Ended(Cause.CALLEE_HUNG_UP) in call.events, within_ms=2_500)
