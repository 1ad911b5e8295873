"""The API process of call_service: HTTP, the outbox relay and the sweeper."""

from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from call_service.batches.events import TYPES as BATCH_EVENTS
from call_service.batches.pre_dial import PURPOSE as PRE_DIAL_PURPOSE
from call_service.batches.routes import BATCHES
from call_service.batches.routes import router as batches_router
from call_service.batches.service import Batches
from call_service.calls import gauges
from call_service.calls.consumer import new_consumer
from call_service.calls.control_routes import router as control_router
from call_service.calls.events import TYPES as CALL_EVENTS
from call_service.calls.routes import CALLS, RECORDINGS
from call_service.calls.routes import router as calls_router
from call_service.calls.service import Calls
from call_service.calls.sweeper import Sweeper
from call_service.calls.timeline import router as timeline_router
from call_service.calls.wrap_up import Analyzer, WrapUp
from call_service.capacity.domain import LONGEST_SPACING
from call_service.capacity.repository import PRUNE as PRUNE_PACES
from call_service.events import repository as stored_events
from call_service.events.hub import Hub
from call_service.events.routes import EVENTS, STREAMS
from call_service.events.routes import router as events_router
from call_service.events.service import Events
from call_service.events.streams import EventStreams
from call_service.events.token_routes import STREAM_TOKENS
from call_service.events.token_routes import router as tokens_router
from call_service.events.tokens import LIFETIME, StreamTokens
from call_service.kept import Kept
from call_service.llm import LlmClient
from call_service.owner import owner_name
from call_service.projects import HttpProjectDirectory
from call_service.recordings import RecordingStore
from call_service.scenarios import repository as agent_tests
from call_service.scenarios.checking import Checker
from call_service.scenarios.domain import KEPT_FOR
from call_service.scenarios.events import TYPES as TEST_EVENTS
from call_service.scenarios.routes import AGENT_TESTS
from call_service.scenarios.routes import router as agent_tests_router
from call_service.scenarios.service import AgentTests
from call_service.settings import CallApiSettings, llm_settings
from call_service.signalling.routes import router as signalling_router
from call_service.trunks import refusals
from call_service.trunks.events import TYPES as TRUNK_EVENTS
from call_service.trunks.routes import TRUNKS
from call_service.trunks.routes import router as trunks_router
from call_service.trunks.service import PURPOSE, Trunks
from call_service.usage.routes import router as usage_router
from call_service.vendors.models import AgentModels, Sessions
from shared.background import kept_running, running
from shared.bus import EventBus
from shared.clock import SystemClock
from shared.endpoints import INTERNAL_TOKENS
from shared.health import HEALTH
from shared.http import DRAIN_HOOKS, new_app
from shared.measuring import measure_forever
from shared.pagination import Cursors
from shared.pruning import prune_forever
from shared.resources import DATABASE, database, idempotency, outbox_relay
from shared.secret_box import SecretBox

SERVICE = "call_service"
ROUTERS = (
    calls_router,
    trunks_router,
    control_router,
    timeline_router,
    events_router,
    tokens_router,
    batches_router,
    usage_router,
    signalling_router,
    agent_tests_router,
)


def build_app(settings: CallApiSettings, bus: EventBus | None = None) -> web.Application:
    """Compose the process; `bus` replaces RabbitMQ in the all-in-one start and in tests."""
    app = new_app(settings, SERVICE, ROUTERS, (*CALL_EVENTS, *BATCH_EVENTS, *TRUNK_EVENTS, *TEST_EVENTS))
    app[RECORDINGS] = RecordingStore(settings.recordings_dir)

    async def use_cases(app: web.Application) -> AsyncIterator[None]:
        llm = LlmClient(found) if (found := llm_settings(settings)) else None
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            db, projects = app[DATABASE], HttpProjectDirectory(session, str(settings.project_url), app[INTERNAL_TOKENS])
            secret = settings.internal_token_secret.get_secret_value()
            sessions = Sessions(allow_private=settings.provider_allow_private)
            analyzer = Analyzer(llm, AgentModels(Kept(projects.provider_keys), sessions, settings.provider_base_urls))
            app[CALLS] = Calls(db, projects, Cursors(secret, "call-history"), analyzer, str(settings.public_url))
            keys = settings.encryption_key.get_secret_value()
            app[BATCHES] = Batches(
                db,
                projects,
                Cursors(secret, "batches"),
                Cursors(secret, "contacts"),
                Cursors(secret, "do-not-call"),
                SecretBox(keys, PRE_DIAL_PURPOSE),
                settings.batch_max_rows,
                settings.webhook_allow_private,
            )
            box = SecretBox(keys, PURPOSE)
            app[TRUNKS] = Trunks(db, box, Cursors(secret, "trunks"), settings.trunk_allow_private)
            app[AGENT_TESTS] = AgentTests(db, projects, Cursors(secret, "agent-tests"), Checker())
            async with running(prune_forever(db, agent_tests.PRUNE, KEPT_FOR), "pruning agent tests"):
                yield
        await sessions.close()
        if llm:
            await llm.close()

    async def streams(app: web.Application) -> AsyncIterator[None]:
        db = app[DATABASE]
        hub = Hub(db)
        cursors = Cursors(settings.internal_token_secret.get_secret_value(), "events")
        app[EVENTS] = Events(db, hub, cursors, SystemClock())
        app[STREAMS] = EventStreams(app[EVENTS])
        app[STREAM_TOKENS] = StreamTokens(db)
        app[DRAIN_HOOKS].append(hub.close)
        pruning = prune_forever(db, stored_events.PRUNE_TOKENS, LIFETIME)
        async with kept_running(hub.run, "event hub", app[HEALTH]), running(pruning, "pruning stream tokens"):
            yield

    async def housekeeping(app: web.Application) -> AsyncIterator[None]:
        calls = app[CALLS]
        wrap_up = WrapUp(calls.db, calls.analyzer, app[RECORDINGS], calls.public_url, settings.provider_prices)
        sweeper = Sweeper(wrap_up, owner_name("sweeper"), settings.sweep_seconds)
        measuring = measure_forever(lambda: gauges.measure(calls.db))
        paces = running(prune_forever(calls.db, PRUNE_PACES, 2 * LONGEST_SPACING), "pruning paces")
        refused = running(prune_forever(calls.db, refusals.PRUNE, refusals.KEPT_FOR), "pruning refusals")
        sweeping = kept_running(sweeper.run, "sweeper", app[HEALTH])
        async with sweeping, running(measuring, "gauges"), paces, refused:
            yield

    app.cleanup_ctx.extend(
        [
            database(settings, settings.database_schema),
            idempotency(settings.internal_token_secret.get_secret_value(), "call:idempotency"),
            outbox_relay(settings, bus, new_consumer),
            use_cases,
            streams,
            housekeeping,
        ]
    )
    return app
