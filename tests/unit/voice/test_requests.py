"""What waits for the conductor: bounded, and over with its last request."""

import asyncio

import pytest

from call_service.voice.options import Outcome
from call_service.voice.requests import MAX_REQUESTS, Announcement, Close, Keys, Quiet, Requests

LAST = Close(Outcome("completed", "max_duration"), None)


async def test_requests_come_in_their_order_until_there_is_no_room() -> None:
    requests = Requests()
    assert requests.are_done
    assert [requests.put(Keys(str(number))) for number in range(MAX_REQUESTS + 1)] == [True] * MAX_REQUESTS + [False]
    assert [await requests.get() for _ in range(2)] == [Keys("0"), Keys("1")]
    assert requests.put(Quiet())


async def test_the_last_request_takes_the_place_of_all_that_waited() -> None:
    requests, heard, given_up = Requests(), *(asyncio.get_running_loop().create_future() for _ in range(2))
    for _ in range(MAX_REQUESTS - 2):
        requests.put(Quiet())
    requests.put(Announcement("Hello.", heard))
    requests.put(Announcement("Anybody?", given_up))
    given_up.cancel()
    requests.end_with(LAST)
    assert heard.result() is False
    assert not requests.put(Quiet())
    assert await requests.get() == LAST
    assert requests.are_done
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await requests.get()
