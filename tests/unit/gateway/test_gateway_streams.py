"""Open streams end with the credential that opened them, also when it is over before they are open; virtual time."""

import asyncio
from datetime import UTC, datetime, timedelta

from gateway.streams import OVER_SECONDS, OpenStreams
from shared.testing.waiting import eventually


class Stream:
    def __init__(self) -> None:
        self.is_ended = False

    async def end(self) -> None:
        self.is_ended = True


async def _is_ended(streams: OpenStreams, credential: str | None) -> bool:
    """Is a stream that opens now ended at once?"""
    stream = Stream()
    with streams.opened(stream.end, credential):
        await asyncio.sleep(0)
    return stream.is_ended


async def test_the_streams_of_a_credential_end_with_it_and_no_others() -> None:
    streams, mine, other = OpenStreams(), Stream(), Stream()
    with streams.opened(mine.end, "mine"), streams.opened(other.end, "other"):
        streams.end_of("mine")
        await asyncio.sleep(0)
        assert (mine.is_ended, other.is_ended) == (True, False)


async def test_a_stream_that_opens_after_the_end_of_its_credential_ends_at_once() -> None:
    streams = OpenStreams()
    assert not await _is_ended(streams, "mine")
    streams.end_of("mine")
    assert [await _is_ended(streams, credential) for credential in ("mine", "other", None)] == [True, False, False]


async def test_a_stream_ends_when_its_api_key_does() -> None:
    streams, stream = OpenStreams(), Stream()
    with streams.opened(stream.end, "mine", datetime.now(UTC) + timedelta(seconds=0.05)):
        assert not stream.is_ended
        await eventually(lambda: stream.is_ended)


async def test_what_opens_while_the_process_drains_ends_at_once() -> None:
    streams = OpenStreams()
    await streams.end_all()
    assert await _is_ended(streams, "mine")


async def test_a_credential_is_remembered_for_longer_than_a_stream_token_lives() -> None:
    seconds = 0.0
    streams = OpenStreams(lambda: seconds)
    streams.end_of("mine")
    seconds = OVER_SECONDS - 1
    assert streams.is_over("mine")
    seconds = OVER_SECONDS + 1
    assert not streams.is_over("mine")
    assert not await _is_ended(streams, "mine")
    assert OVER_SECONDS > 60
