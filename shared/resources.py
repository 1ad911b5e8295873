"""The resources that services have in common, as `cleanup_ctx` generators for `web.Application`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from datetime import timedelta

import stamina
import structlog
from aiohttp import web

from shared import idempotency as idempotent
from shared.amqp import AmqpBus
from shared.background import kept_running, running
from shared.bus import BrokerUnavailableError, EventBus
from shared.db import Database
from shared.health import HEALTH
from shared.inbox import Consumer
from shared.outbox import Relay
from shared.pruning import prune_forever
from shared.secret_box import SecretBox
from shared.settings import ServiceSettings

log = structlog.get_logger(__name__)

DATABASE = web.AppKey("database", Database)
BUS = web.AppKey("bus", EventBus)

CleanupContext = Callable[[web.Application], AsyncIterator[None]]
MakeConsumer = Callable[[Database, EventBus], Consumer]


def database(settings: ServiceSettings, schema: str) -> CleanupContext:
    """The pool, under `DATABASE`; the process is ready only while Postgres answers."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        db = await Database.connect(str(settings.database_url), schema, max_size=settings.database_pool_size)
        app[DATABASE] = db
        app[HEALTH].register("database", db.ping)
        yield
        await db.close()

    return context


def idempotency(encryption_keys: str, purpose: str) -> CleanupContext:
    """The answers kept for requests with an Idempotency-Key, sealed for `purpose`; after `database`."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        db = app[DATABASE]
        app[idempotent.IDEMPOTENCY] = idempotent.Idempotency(db, SecretBox(encryption_keys, purpose))
        async with running(prune_forever(db, idempotent.PRUNE, timedelta(hours=24)), "pruning idempotency keys"):
            yield

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


async def _consume(consumer: Consumer) -> None:
    """Until cancelled; tries until the broker lets it subscribe."""
    async for attempt in stamina.retry_context(on=BrokerUnavailableError, attempts=None, timeout=None, wait_max=5):
        with attempt:
            await consumer.start()
    try:
        await asyncio.Event().wait()
    finally:
        await consumer.close()


def outbox_relay(
    settings: ServiceSettings, bus: EventBus | None, make_consumer: MakeConsumer | None = None
) -> CleanupContext:
    """The relay, and a consumer if there is one, in the background.

    While the broker is away the API goes on, and events wait in the outbox and in their queue.
    """

    async def exchange(db: Database, bus: EventBus) -> None:
        consuming = running(_consume(make_consumer(db, bus)), "event consumer") if make_consumer else nullcontext()
        async with consuming:
            await Relay(db, bus).run()

    async def exchange_on_own(db: Database) -> None:
        own = await connect_bus(settings)
        try:
            await exchange(db, own)
        finally:
            await asyncio.shield(own.close())

    async def context(app: web.Application) -> AsyncIterator[None]:
        db = app[DATABASE]
        if bus is None and settings.amqp_url is None:
            log.warning("AMQP_URL is not set: events stay in the outbox")
            yield
            return
        async with kept_running(lambda: exchange(db, bus) if bus else exchange_on_own(db), "outbox relay", app[HEALTH]):
            yield

    return context
