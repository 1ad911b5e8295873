"""Webhooks to servers that hang, reset, never stop, or lead inside: an attempt fails, and nobody else waits."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from project_service.__main__ import MIGRATIONS
from project_service.app import build_webhooks_app
from project_service.settings import WebhookSettings
from shared.db import Database
from shared.ids import new_id
from shared.memory_bus import InMemoryBus
from shared.migrations import migrate
from shared.testing.events import make_event
from shared.testing.waiting import eventually
from tests.support.names import names_from
from tests.support.sinks import Sink, project_with_hook, settings_of

MEGABYTE = 1 << 20
EVENTS = 5


class HangingSink(Sink):
    cause = "timeout"

    async def take(self, request: web.Request) -> web.StreamResponse:
        await super().take(request)
        await asyncio.sleep(60)
        return web.Response()


class ResettingSink(Sink):
    cause = "disconnected"

    async def take(self, request: web.Request) -> web.StreamResponse:
        await super().take(request)
        assert request.transport is not None
        own: socket.socket = request.transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
        request.transport.abort()
        return web.Response()


class EndlessSink(Sink):
    """Answers with 10 GB."""

    cause = None
    sent = 0

    async def take(self, request: web.Request) -> web.StreamResponse:
        await super().take(request)
        response = web.StreamResponse(status=500)
        response.content_length = 10_000 * MEGABYTE
        await response.prepare(request)
        for _ in range(10_000):
            await response.write(bytes(MEGABYTE))
            self.sent += MEGABYTE
        return response


class RedirectingSink(Sink):
    """Leads to the metadata of the machine, as clouds have it."""

    cause = None

    async def take(self, request: web.Request) -> web.StreamResponse:
        await super().take(request)
        raise web.HTTPTemporaryRedirect("http://169.254.169.254/latest/meta-data/")


class Watched:
    """Every address that this process connects to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: set[str] = set()
        loop = asyncio.get_running_loop()
        connect = loop.sock_connect

        async def noted(sock: socket.socket, address: Any) -> None:
            self.addresses.add(address[0])
            await connect(sock, address)

        monkeypatch.setattr(loop, "sock_connect", noted)


@asynccontextmanager
async def webhook_worker(settings: WebhookSettings) -> AsyncIterator[tuple[InMemoryBus, Database]]:
    bus = InMemoryBus()
    database = await Database.connect(str(settings.database_url), "projects", max_size=4)
    async with TestServer(build_webhooks_app(settings, bus)):
        yield bus, database
    await database.close()


async def report(bus: InMemoryBus, tenant: str, project_id: str) -> None:
    """Events of as many calls, so that they don't wait for each other."""
    events = [make_event("call.queued", tenant=tenant, project_id=project_id) for _ in range(EVENTS)]
    assert len(await bus.publish_many(events, 5)) == EVENTS


@pytest.mark.parametrize("sink", [HangingSink(), ResettingSink(), EndlessSink(), RedirectingSink()], ids=type)
@pytest.mark.timeout(60)
async def test_a_sink_that_misbehaves(database_url: str, sink: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await migrate(database_url, "projects", MIGRATIONS)
    settings = settings_of(database_url, timeout_seconds=1 if isinstance(sink, HangingSink) else 15)
    healthy, bad, good, watched = Sink(), new_id(), new_id(), Watched(monkeypatch)
    before = psutil.Process(os.getpid()).memory_info().rss
    async with sink.serving() as bad_hook, healthy.serving() as hook:
        bad_project = await project_with_hook(settings, bad, bad_hook)
        good_project = await project_with_hook(settings, good, hook)
        async with webhook_worker(settings) as (bus, db):
            await report(bus, bad, bad_project)
            await eventually(lambda: len(sink.taken) > 0)
            async with asyncio.timeout(15):
                await report(bus, good, good_project)
                await eventually(lambda: len(healthy.taken) == EVENTS)

            async def all_tried() -> bool:
                return bool(await db.fetchval("SELECT count(DISTINCT delivery_id) FROM webhook_attempts") == 2 * EVENTS)

            await eventually(all_tried)
            rows = await db.fetch("SELECT status, attempts FROM webhook_deliveries WHERE project_id = $1", bad_project)
            errors = await db.fetch(
                """SELECT DISTINCT a.error FROM webhook_attempts a JOIN webhook_deliveries d ON d.id = a.delivery_id
                    WHERE d.project_id = $1""",
                bad_project,
            )
    assert len(rows) == EVENTS
    assert all(row["status"] == "pending" and row["attempts"] > 0 for row in rows), "each will be tried again"
    assert [row["error"] for row in errors] == [sink.cause]
    assert watched.addresses <= {"127.0.0.1"}
    assert psutil.Process(os.getpid()).memory_info().rss - before < 100 * MEGABYTE
    if isinstance(sink, EndlessSink):
        assert sink.sent < 100 * MEGABYTE


@pytest.mark.timeout(60)
async def test_a_name_that_leads_inside_after_it_was_registered(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: public when it is checked, loopback when it is called; nobody is connected to."""
    await migrate(database_url, "projects", MIGRATIONS)
    settings, inside, address = settings_of(database_url, allow_private=False), Sink(), "93.184.215.14"
    async with names_from(lambda _name: [address], monkeypatch), inside.serving() as hook:
        tenant, port = new_id(), hook.rsplit(":", 1)[1]
        project_id = await project_with_hook(settings, tenant, f"https://rebinding.example:{port}")
        address = "127.0.0.1"
        async with webhook_worker(settings) as (bus, db):
            await report(bus, tenant, project_id)

            async def all_tried() -> bool:
                return bool(await db.fetchval("SELECT count(DISTINCT delivery_id) FROM webhook_attempts") == EVENTS)

            await eventually(all_tried)
            errors = await db.fetch("SELECT DISTINCT error FROM webhook_attempts")
    assert inside.taken == []
    assert [row["error"] for row in errors] == ["blocked_address"]
