"""The worker process of call_service: carrier, speech engines, brain and the claim loop, with health and metrics."""

from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
from aiohttp import web

from call_service.batches.dialing import BatchDialer
from call_service.batches.pre_dial import AT_ONCE, TIMEOUT, PreDial
from call_service.batches.pre_dial import PURPOSE as PRE_DIAL_PURPOSE
from call_service.calls.claiming import CallClaimer
from call_service.calls.wrap_up import Analyzer, WrapUp
from call_service.carriers.opening import open_carrier
from call_service.carriers.routing import RoutingCarrier
from call_service.dialer.runner import Tools
from call_service.dialer.worker import Worker
from call_service.inbound.directory import NumberDirectory
from call_service.inbound.reception import Reception
from call_service.kept import Kept
from call_service.llm import LlmClient
from call_service.owner import owner_name
from call_service.projects import HttpProjectDirectory
from call_service.recordings import RecordingStore
from call_service.scenarios.player import ScenarioPlayer
from call_service.scenarios.rehearsal import play
from call_service.scenarios.stage import open_stage
from call_service.settings import WorkerSettings, llm_settings, tenant_limits
from call_service.tools.opening import open_tooling
from call_service.trunks.keeper import TrunkKeeper
from call_service.trunks.service import PURPOSE
from call_service.vendors.equipment import Vendors
from call_service.vendors.models import AgentModels, Sessions
from call_service.voice.brain import build_brain
from call_service.voice.engines.bundle import Engines, load_engines
from call_service.voice.engines.extras import Models, with_extras
from call_service.voice.ports import Brain
from shared.background import kept_running, running
from shared.clock import SystemClock
from shared.endpoints import INTERNAL_TOKENS
from shared.health import HEALTH
from shared.http import DRAIN_HOOKS, new_app
from shared.http_client import GuardedClient
from shared.measuring import measure_forever
from shared.resources import DATABASE, CleanupContext, database
from shared.secret_box import SecretBox

ENGINES = web.AppKey("engines", Engines)
CARRIER = web.AppKey("carrier", RoutingCarrier)
BRAIN = web.AppKey("brain", Brain)
NUMBERS = web.AppKey("numbers", NumberDirectory)
VENDORS = web.AppKey("vendors", Vendors)
PRE_DIAL = web.AppKey("pre_dial", PreDial)
ANALYZER = web.AppKey("analyzer", Analyzer)
WORKER = web.AppKey("worker", Worker)


def _scenarios(settings: WorkerSettings) -> CleanupContext:
    async def context(app: web.Application) -> AsyncIterator[None]:
        worker = app[WORKER]
        async with open_stage(app[ENGINES], app[BRAIN], app[VENDORS]) as stage:
            player = ScenarioPlayer(
                app[DATABASE],
                lambda scenario, cast: play(scenario, cast, stage),
                worker,
                owner=worker.owner,
                at_once=settings.scenarios_at_once,
            )
            app[DRAIN_HOOKS].append(player.drain)
            async with kept_running(player.run, "scenario player", app[HEALTH]):
                yield

    return context


def _pre_dial(settings: WorkerSettings) -> CleanupContext:
    async def context(app: web.Application) -> AsyncIterator[None]:
        box = SecretBox(settings.encryption_key.get_secret_value(), PRE_DIAL_PURPOSE)
        async with GuardedClient(
            allow_private=settings.webhook_allow_private, per_host_limit=AT_ONCE, total_timeout=TIMEOUT
        ) as client:
            app[PRE_DIAL] = PreDial(app[DATABASE], client, box, SystemClock())
            yield

    return context


def _vendors(settings: WorkerSettings) -> CleanupContext:
    async def context(app: web.Application) -> AsyncIterator[None]:
        sessions = Sessions(allow_private=settings.provider_allow_private)
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            directory = HttpProjectDirectory(session, str(settings.project_url), app[INTERNAL_TOKENS])
            app[NUMBERS] = NumberDirectory(directory, SystemClock())
            keys = Kept(directory.provider_keys)
            async with open_tooling(directory, settings) as tooling:
                app[VENDORS] = Vendors(keys, sessions, settings.provider_base_urls, tooling=tooling)
                yield
        await sessions.close()

    return context


def build_app(settings: WorkerSettings) -> web.Application:
    """Compose the worker."""
    app = new_app(settings, "call_worker")

    async def engines(app: web.Application) -> AsyncIterator[None]:
        models = Models(settings.kokoro_model, settings.kokoro_voices, settings.whisper_model, settings.gguf_model)
        app[ENGINES] = await with_extras(await load_engines(settings.engines), models)
        yield
        if llama := app[ENGINES].extras.llama:
            await llama.close()
        app[ENGINES].close()

    async def carrier(app: web.Application) -> AsyncIterator[None]:
        async with open_carrier(settings, app[ENGINES]) as app[CARRIER]:
            yield

    async def brain(app: web.Application) -> AsyncIterator[None]:
        llm = LlmClient(found) if (found := llm_settings(settings)) else None
        app[BRAIN] = build_brain(llm)
        reached = app[VENDORS]
        app[ANALYZER] = Analyzer(llm, AgentModels(reached.keys, reached.sessions, reached.base_urls))
        yield
        await app[BRAIN].close()  # and the model with it

    async def worker(app: web.Application) -> AsyncIterator[None]:
        recordings = RecordingStore(settings.recordings_dir)
        tools = Tools(
            app[CARRIER],
            app[ENGINES],
            app[BRAIN],
            recordings,
            WrapUp(app[DATABASE], app[ANALYZER], recordings, str(settings.public_url), settings.provider_prices),
            timedelta(seconds=settings.lease_seconds),
            timedelta(seconds=settings.ring_timeout_seconds),
            settings.price_per_minute,
            settings.currency,
            app[VENDORS],
            app[PRE_DIAL],
            tenant_limits(settings),
        )
        owner = owner_name("worker")
        db, lease, limits = app[DATABASE], tools.lease, tools.limits
        singly = CallClaimer(db, owner, lease, limits)
        batches = BatchDialer(db, owner, lease, tools.price_per_minute, str(settings.public_url), limits)
        worker = app[WORKER] = Worker(db, tools, [singly, batches], owner=owner, max_calls=settings.worker_max_calls)
        reception = Reception(tools, worker, app[NUMBERS])
        app[CARRIER].on_call(reception.take)
        app[CARRIER].on_refusal(reception.refusals.note)
        box = SecretBox(settings.encryption_key.get_secret_value(), PURPOSE)
        ca_file = str(settings.sip_ca_file) if settings.sip_ca_file else None
        keeper = TrunkKeeper(app[DATABASE], app[CARRIER], box, owner=owner, ca_file=ca_file)
        app[DRAIN_HOOKS].extend([keeper.drain, worker.drain])
        keeping = kept_running(keeper.run, "trunk keeper", app[HEALTH])
        working = kept_running(lambda: worker.run(settings.heartbeat_seconds), "worker", app[HEALTH])
        async with keeping, working, running(measure_forever(singly.measure), "gauges"):
            yield
            await reception.close()
            await worker.stop()

    app.cleanup_ctx.extend(
        [
            database(settings, settings.database_schema),
            engines,
            carrier,
            _vendors(settings),
            brain,
            _pre_dial(settings),
            worker,
            _scenarios(settings),
        ]
    )
    return app
