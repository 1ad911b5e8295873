"""The resources that services have in common, as `cleanup_ctx` generators for `web.Application`."""

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog
from aiohttp import web

from shared.amqp import AmqpBus
from shared.background import running
from shared.bus import BrokerUnavailableError, EventBus
from shared.db import Database
from shared.health import HEALTH
from shared.outbox import Relay
from shared.settings import ServiceSettings

log = structlog.get_logger(__name__)

DATABASE = web.AppKey("database", Database)
BUS = web.AppKey("bus", EventBus)

CleanupContext = Callable[[web.Application], AsyncIterator[None]]


def database(settings: ServiceSettings, schema: str) -> CleanupContext:
    """The pool, under `DATABASE`; the process is ready only while Postgres answers."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        db = await Database.connect(str(settings.database_url), schema, max_size=settings.database_pool_size)
        app[DATABASE] = db
        app[HEALTH].register("database", db.ping)
        yield
        await db.close()

    return context


async def connect_bus(settings: ServiceSettings) -> EventBus:
    """RabbitMQ, however long it takes: what an outbox holds waits for it."""
    if settings.amqp_url is None:
        raise BrokerUnavailableError("AMQP_URL is not set.")
    while True:
        try:
            return await AmqpBus.connect(str(settings.amqp_url))
        except BrokerUnavailableError as error:
            log.warning("broker unavailable", cause=repr(error.__cause__))


def event_bus(settings: ServiceSettings, bus: EventBus | None) -> CleanupContext:
    """The bus, under `BUS`, for a process that can't work without it: `bus` (not closed here), else RabbitMQ."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        app[BUS] = bus or await connect_bus(settings)
        app[HEALTH].register("broker", app[BUS].ping)
        yield
        if bus is None:
            await app[BUS].close()

    return context


def outbox_relay(settings: ServiceSettings, bus: EventBus | None) -> CleanupContext:
    """The relay, in the background: while the broker is away the API goes on, and events wait in the outbox."""

    async def relay(db: Database) -> None:
        if bus is not None:
            await Relay(db, bus).run()
        own = await connect_bus(settings)
        try:
            await Relay(db, own).run()
        finally:
            await asyncio.shield(own.close())

    async def context(app: web.Application) -> AsyncIterator[None]:
        async with running(relay(app[DATABASE]), "outbox relay"):
            yield

    return context
