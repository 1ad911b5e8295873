"""How failures of the AMQP library are told apart; the rest of the adapter is tested against real brokers."""

import asyncio

import pytest
from aio_pika.exceptions import AMQPConnectionError, ChannelInvalidStateError

from shared.amqp import translated
from shared.bus import BrokerUnavailableError


@pytest.mark.parametrize(
    "error", [AMQPConnectionError("gone"), ChannelInvalidStateError("closed"), OSError("reset"), TimeoutError()]
)
async def test_a_failure_of_the_broker_istranslated(error: Exception) -> None:
    with pytest.raises(BrokerUnavailableError, match="while publishing"), translated("publishing"):
        raise error


async def test_a_cancelled_error_that_nobody_asked_for_is_a_failure() -> None:
    """aio-pika raises it in a publish that waits while a stuck connection is cut for its missing heartbeats."""
    with pytest.raises(BrokerUnavailableError), translated("publishing"):
        raise asyncio.CancelledError


async def test_a_real_cancellation_is_passed_on() -> None:
    waiting = asyncio.Event()

    async def publish() -> None:
        with translated("publishing"):
            waiting.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(publish())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_errors_of_our_own_are_left_alone() -> None:
    with pytest.raises(KeyError), translated("publishing"):
        raise KeyError
