"""The API process of call_service: HTTP, the outbox relay and the sweeper."""

from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
from aiohttp import web

from call_service.calls.routes import CALLS, RECORDINGS, STREAMS, router
from call_service.calls.service import Calls
from call_service.calls.stream import EventStreams
from call_service.calls.sweeper import Sweeper
from call_service.calls.wrap_up import Analyzer, WrapUp
from call_service.llm import LlmClient
from call_service.owner import owner_name
from call_service.projects import HttpProjectDirectory
from call_service.recordings import RecordingStore
from call_service.settings import CallApiSettings, llm_settings
from shared.background import running
from shared.bus import EventBus
from shared.endpoints import INTERNAL_TOKENS
from shared.http import DRAIN_HOOKS, new_app
from shared.pagination import Cursors
from shared.resources import DATABASE, database, outbox_relay

SERVICE = "call_service"


def build_app(settings: CallApiSettings, bus: EventBus | None = None) -> web.Application:
    """Compose the process; `bus` replaces RabbitMQ in the all-in-one start and in tests."""
    app = new_app(settings, SERVICE, [router])
    app[RECORDINGS] = RecordingStore(settings.recordings_dir)

    async def use_cases(app: web.Application) -> AsyncIterator[None]:
        llm = LlmClient(found) if (found := llm_settings(settings)) else None
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            app[CALLS] = Calls(
                app[DATABASE],
                HttpProjectDirectory(session, str(settings.project_url), app[INTERNAL_TOKENS]),
                Cursors(settings.internal_token_secret.get_secret_value(), "call-history"),
                Analyzer(llm),
                str(settings.public_url),
            )
            yield
        if llm:
            await llm.close()

    async def streams(app: web.Application) -> AsyncIterator[None]:
        streams = app[STREAMS] = EventStreams(app[DATABASE])
        app[DRAIN_HOOKS].append(streams.close)
        async with running(streams.run(), "event streams"):
            yield

    async def sweeper(app: web.Application) -> AsyncIterator[None]:
        calls = app[CALLS]
        wrap_up = WrapUp(calls.db, calls.analyzer, app[RECORDINGS], calls.public_url)
        lease = timedelta(seconds=settings.lease_seconds)
        async with running(Sweeper(wrap_up, owner_name("sweeper"), lease, settings.sweep_seconds).run(), "sweeper"):
            yield

    app.cleanup_ctx.extend(
        [
            database(settings, settings.database_schema),
            outbox_relay(settings, bus),
            use_cases,
            streams,
            sweeper,
        ]
    )
    return app
