"""`/health/live`: the process runs. `/health/ready`: every registered ping answers, and it is not draining."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from shared.envelope import json_response

Ping = Callable[[], Awaitable[None]]
PING_TIMEOUT_SECONDS = 2.0


class Health:
    """The readiness pings of one process; resources register their own."""

    def __init__(self) -> None:
        self._pings: dict[str, Ping] = {}
        self.is_draining = False

    def register(self, name: str, ping: Ping) -> None:
        """`ping` raises when the resource can't be used."""
        self._pings[name] = ping

    async def check(self) -> dict[str, str]:
        """The state of each resource: `ok`, or the class of what was raised."""
        states = await asyncio.gather(*(self._state(ping) for ping in self._pings.values()))
        return dict(zip(self._pings, states, strict=True))

    @staticmethod
    async def _state(ping: Ping) -> str:
        try:
            await asyncio.wait_for(ping(), PING_TIMEOUT_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever a ping raises means "not ready"
            return type(error).__name__
        return "ok"


HEALTH = web.AppKey("health", Health)


async def live(_request: web.Request) -> web.Response:
    """The process runs and its event loop turns."""
    return json_response({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """Everything this process needs answers: 200, else 503 with the state of each."""
    health = request.app[HEALTH]
    checks = await health.check()
    is_ready = not health.is_draining and all(state == "ok" for state in checks.values())
    status = "draining" if health.is_draining else "ok" if is_ready else "unavailable"
    return json_response({"status": status, "checks": checks}, status=200 if is_ready else 503)
