"""From an utterance to its text, whatever the recognition does."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from call_service.voice.listening import Utterance
from call_service.voice.options import SessionOptions
from call_service.voice.ports import EngineError
from call_service.voice.understanding import Understanding

OPTIONS = SessionOptions(engine_timeout=timedelta(seconds=0.05), filler_after=timedelta(milliseconds=10))


def understanding(options: SessionOptions = OPTIONS, *, is_ending: Callable[[], bool] = lambda: False) -> Understanding:
    loop, begun = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    return Understanding(options, lambda: round((loop.time() - begun) * 1000), is_ending)


def utterance(work: Awaitable[str]) -> Utterance:
    return Utterance(0, 0, 0, asyncio.ensure_future(work))


async def recognized(text: str) -> str:
    return text


async def fails() -> str:
    raise EngineError("stt", "down")


async def never() -> str:
    await asyncio.Event().wait()
    raise AssertionError


async def test_one_failure_is_forgiven_and_two_in_a_row_are_not() -> None:
    found = understanding()
    assert (await found.of(utterance(fails())))[0] is None
    assert (await found.of(utterance(recognized("yes"))))[0] == "yes"
    assert (await found.of(utterance(never())))[0] is None
    with pytest.raises(EngineError, match="in a row"):
        await found.of(utterance(fails()))


async def test_who_waits_hears_something_until_there_is_an_answer() -> None:
    answer, said = asyncio.get_running_loop().create_future(), list[int]()

    async def fill() -> bool:
        said.append(1)
        if len(said) == 3:
            answer.set_result("at last")
        return True

    found = understanding(SessionOptions(filler_after=timedelta(milliseconds=1)))
    assert (await found.of(utterance(answer), fill))[0] == "at last"
    assert len(said) == 3


async def test_nothing_is_said_into_a_silence_when_the_call_is_being_ended() -> None:
    async def fill() -> bool:
        raise AssertionError

    found = understanding(is_ending=lambda: True)
    assert (await found.of(utterance(never()), fill))[0] is None


async def test_the_same_failure_counts_once() -> None:
    found, misheard = understanding(), utterance(fails())
    assert (await found.of(misheard))[0] is None
    assert (await found.of(misheard))[0] is None
    with pytest.raises(EngineError, match="in a row"):
        await found.of(utterance(fails()))


async def test_a_recognition_that_is_late_goes_on() -> None:
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    found, late = understanding(), utterance(answer)
    assert (await found.of(late))[0] is None
    assert not answer.cancelled()
    answer.set_result("at last")
    assert (await found.of(late))[0] == "at last"


async def test_one_that_was_dropped_is_a_failure_and_not_the_end_of_who_waits() -> None:
    found, dropped = understanding(SessionOptions()), utterance(never())
    asyncio.get_running_loop().call_soon(dropped.text.cancel)
    assert (await found.of(dropped))[0] is None
    with pytest.raises(EngineError, match="in a row") as raised:
        await found.of(utterance(fails()))
    assert raised.value.stage == "stt"
