"""A world in virtual time, and our user agent in it."""

from collections.abc import AsyncIterator

import pytest

from tests.support.sip_world import CLIENT, Party, Script, World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Nothing of a call may be left a minute after the test."""
    world = World()
    yield world
    await world.time.advance(70_000)
    for receiver in world.receivers.values():
        if not isinstance(receiver, Script):
            agent = receiver
            assert (agent.dialogs, len(agent.transactions), len(agent._tasks)) == (0, 0, 0)  # type: ignore[attr-defined]
    await world.time.advance(10_000_000)
    assert world.time.pending == 0


@pytest.fixture
def us(world: World) -> Party:
    return Party(world, CLIENT)
