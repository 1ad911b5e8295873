"""Whether the recorded processes can be used now, asked from outside."""

import asyncio

import aiohttp

from deploy.local.services import answers_ready
from deploy.local.state import ProcessRecord, State, find
from deploy.local.system import is_free


async def readiness(state: State) -> list[bool]:
    """For each process of the state, in its order."""
    return await asyncio.gather(*(_is_ready(record) for record in state.processes))


async def _is_ready(record: ProcessRecord) -> bool:
    if find(record) is None:
        return False
    if not record.has_health:
        return not is_free(record.port)
    try:
        return await answers_ready(record.port)
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
