"""Somebody else takes a call over whose engines are broken."""

import asyncio
from datetime import timedelta

import structlog

from call_service.carriers.port import Leg, TransferFailedError

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

RESCUE_WAIT = timedelta(seconds=40)


async def is_rescued(leg: Leg, number: str) -> bool:
    """Connect the callee with `number`; False when nobody was reached there."""
    try:
        async with asyncio.timeout(RESCUE_WAIT.total_seconds()):
            await leg.transfer(number)
    except (TransferFailedError, TimeoutError) as error:
        log.warning("rescue_failed", error=repr(error))
        return False
    return True
