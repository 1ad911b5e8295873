"""Customers' servers that webhooks go to, and projects that report to them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from project_service.app import build_app
from project_service.settings import WebhookSettings
from shared.memory_bus import InMemoryBus
from tests.support.calls import SECRET, Customer

KEY = "a key for the secrets of webhooks in this test"


class Sink:
    """Takes every delivery; knows which ones, in their order."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def take(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.taken.append(request.headers["webhook-id"])
        return web.Response(status=204)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application(handler_args={"handler_cancellation": True})
        app.router.add_route("*", "/hook", self.take)
        server = TestServer(app)
        await server.start_server(shutdown_timeout=0)
        yield str(server.make_url("/hook"))
        await server.close()


def settings_of(dsn: str, *, allow_private: bool = True, timeout_seconds: float = 15) -> WebhookSettings:
    """Those of a webhook worker; an attempt takes so long at most."""
    return WebhookSettings(
        database_url=dsn,
        internal_token_secret=SECRET,
        encryption_key=KEY,
        webhook_allow_private=allow_private,
        webhook_timeout_seconds=timeout_seconds,
    )


async def project_with_hook(settings: WebhookSettings, tenant: str, hook: str) -> str:
    """A new project whose calls are reported to `hook`; its id."""
    async with TestClient(TestServer(build_app(settings, InMemoryBus()))) as client:
        customer = Customer(client, tenant)
        _, made = await customer.ask("POST", "/project/create-project", {"name": "Front desk", "description": ""})
        project_id = str(made["data"]["id"])
        body = {"projectId": project_id, "webhookURL": hook}
        status, answer = await customer.ask("POST", "/project/call-status/add-webhookurl", body)
    assert status == 200, answer
    return project_id
