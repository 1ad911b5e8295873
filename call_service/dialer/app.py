"""The worker process of call_service: carrier, speech engines, brain and the claim loop, with health and metrics."""

from collections.abc import AsyncIterator
from datetime import timedelta

from aiohttp import web

from call_service.batches.dialing import BatchDialer
from call_service.calls.wrap_up import Analyzer, WrapUp
from call_service.carriers.opening import open_carrier
from call_service.carriers.port import Carrier
from call_service.dialer.runner import Tools
from call_service.dialer.worker import Worker
from call_service.llm import LlmClient
from call_service.owner import owner_name
from call_service.recordings import RecordingStore
from call_service.settings import WorkerSettings, llm_settings
from call_service.voice.brain import build_brain
from call_service.voice.engines.bundle import Engines, load_engines
from call_service.voice.ports import Brain
from shared.background import running
from shared.http import DRAIN_HOOKS, new_app
from shared.resources import DATABASE, database

ENGINES = web.AppKey("engines", Engines)
CARRIER = web.AppKey("carrier", Carrier)
BRAIN = web.AppKey("brain", Brain)
ANALYZER = web.AppKey("analyzer", Analyzer)


def build_app(settings: WorkerSettings) -> web.Application:
    """Compose the worker."""
    app = new_app(settings, "call_worker")

    async def engines(app: web.Application) -> AsyncIterator[None]:
        app[ENGINES] = await load_engines(settings.engines)
        yield
        app[ENGINES].close()

    async def carrier(app: web.Application) -> AsyncIterator[None]:
        async with open_carrier(settings, app[ENGINES]) as app[CARRIER]:
            yield

    async def brain(app: web.Application) -> AsyncIterator[None]:
        found = llm_settings(settings)
        app[BRAIN] = build_brain(found)
        llm = LlmClient(found) if found else None
        app[ANALYZER] = Analyzer(llm)
        yield
        await app[BRAIN].close()
        if llm:
            await llm.close()

    async def worker(app: web.Application) -> AsyncIterator[None]:
        recordings = RecordingStore(settings.recordings_dir)
        tools = Tools(
            app[CARRIER],
            app[ENGINES],
            app[BRAIN],
            recordings,
            WrapUp(app[DATABASE], app[ANALYZER], recordings, str(settings.public_url)),
            timedelta(seconds=settings.lease_seconds),
            timedelta(seconds=settings.ring_timeout_seconds),
            settings.price_per_minute,
            settings.currency,
        )
        owner = owner_name("worker")
        batches = BatchDialer(app[DATABASE], owner, tools.lease, tools.price_per_minute, str(settings.public_url))
        worker = Worker(app[DATABASE], tools, batches, owner=owner, max_calls=settings.worker_max_calls)
        app[DRAIN_HOOKS].append(worker.drain)
        async with running(worker.run(settings.heartbeat_seconds), "worker"):
            yield
            await worker.stop()

    app.cleanup_ctx.extend([database(settings, settings.database_schema), engines, carrier, brain, worker])
    return app
