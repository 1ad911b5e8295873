"""A customer's webhook receiver: checks each signature and remembers what came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


class Receiver:
    """Listens on a free port of 127.0.0.1; `secret` arrives after the URL was registered."""

    def __init__(self) -> None:
        self.url = ""
        self.secret = ""
        self.verified: list[dict[str, Any]] = []
        self.forged = 0
        self._arrived = asyncio.Condition()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Receiver"]:
        app = web.Application()
        app.router.add_post("/hook", self._receive)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            Webhook(self.secret).verify(body, dict(request.headers))
        except WebhookVerificationError:
            self.forged += 1
            return web.Response(status=400)
        async with self._arrived:
            self.verified.append(orjson.loads(body))
            self._arrived.notify_all()
        return web.Response(status=204)

    async def wait_for(self, type_: str, call_id: str, timeout_seconds: float) -> bool:
        """Did a verified event of this type about this call come in time?"""

        def came() -> bool:
            return any(item["type"] == type_ and item["data"]["call_id"] == call_id for item in self.verified)

        async with self._arrived:
            try:
                await asyncio.wait_for(self._arrived.wait_for(came), timeout_seconds)
            except TimeoutError:
                return False
        return True
