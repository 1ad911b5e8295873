"""Composes the processes of project_service: the API, and the webhook worker."""

from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
from aiohttp import web

from project_service.agents import events as agent_events
from project_service.agents.routes import AGENTS
from project_service.agents.routes import router as agents_router
from project_service.agents.service import Agents
from project_service.agents.tested import new_consumer
from project_service.documents.reading import Reader
from project_service.documents.routes import DOCUMENTS
from project_service.documents.routes import router as documents_router
from project_service.documents.service import Documents
from project_service.phone_numbers import events as phone_number_events
from project_service.phone_numbers.routes import PHONE_NUMBERS
from project_service.phone_numbers.routes import router as phone_numbers_router
from project_service.phone_numbers.service import PhoneNumbers
from project_service.projects import events as project_events
from project_service.projects.routes import PROJECTS
from project_service.projects.routes import router as projects_router
from project_service.projects.service import Projects
from project_service.provider_keys.routes import PROVIDER_KEYS
from project_service.provider_keys.routes import router as provider_keys_router
from project_service.provider_keys.service import ProviderKeys
from project_service.provider_keys.trying import KeyTrier
from project_service.settings import ProjectSettings, WebhookSettings
from project_service.tool_secrets.routes import TOOL_SECRETS
from project_service.tool_secrets.routes import router as tool_secrets_router
from project_service.tool_secrets.service import ToolSecrets
from project_service.voices.routes import VENDOR_VOICES, VOICES
from project_service.voices.routes import router as voices_router
from project_service.voices.service import Voices
from project_service.voices.vendors import VendorVoices
from project_service.webhooks import events as webhook_events
from project_service.webhooks import queue
from project_service.webhooks.deliverer import Deliverer
from project_service.webhooks.events import BINDINGS, QUEUE, on_call_event
from project_service.webhooks.routes import WEBHOOKS
from project_service.webhooks.routes import router as webhooks_router
from project_service.webhooks.service import Webhooks
from shared.background import kept_running, running
from shared.bus import EventBus
from shared.clock import SystemClock
from shared.health import HEALTH
from shared.http import DRAIN_HOOKS, new_app
from shared.http_client import GuardedClient
from shared.inbox import Consumer
from shared.pagination import Cursors
from shared.pruning import prune_forever
from shared.resources import BUS, DATABASE, CleanupContext, database, event_bus, idempotency, outbox_relay
from shared.secret_box import SecretBox

SERVICE = "project_service"
WORKER = "project_webhooks"
WEBHOOK_SECRETS = "project:webhook-secrets"
PROVIDER_SECRETS = "project:provider-keys"
TOOL_SECRETS_PURPOSE = "project:tool-secrets"
EVENT_TYPES = (*project_events.TYPES, *agent_events.TYPES, *phone_number_events.TYPES, *webhook_events.TYPES)
ROUTERS = (
    projects_router,
    agents_router,
    voices_router,
    phone_numbers_router,
    webhooks_router,
    provider_keys_router,
    documents_router,
    tool_secrets_router,
)


def _services(settings: ProjectSettings, secrets: SecretBox) -> CleanupContext:
    cursor_secret = settings.internal_token_secret.get_secret_value()

    async def context(app: web.Application) -> AsyncIterator[None]:
        db = app[DATABASE]
        webhooks = app[WEBHOOKS] = Webhooks(
            db, secrets, Cursors(cursor_secret, "deliveries"), SystemClock(), settings.webhook_allow_private
        )
        app[PROJECTS] = Projects(db, webhooks, Cursors(cursor_secret, "projects"))
        app[AGENTS] = Agents(db, Cursors(cursor_secret, "agent-versions"), settings.tool_allow_private)
        app[PHONE_NUMBERS] = PhoneNumbers(db, Cursors(cursor_secret, "phone-numbers"))
        app[VOICES] = Voices(str(settings.public_url), settings.previews_dir)
        app[DOCUMENTS] = Documents(db, Reader())
        box = SecretBox(settings.encryption_key.get_secret_value(), TOOL_SECRETS_PURPOSE)
        app[TOOL_SECRETS] = ToolSecrets(db, box)
        yield

    return context


def _provider_keys(settings: ProjectSettings) -> CleanupContext:
    async def context(app: web.Application) -> AsyncIterator[None]:
        trier = KeyTrier(allow_private=settings.provider_allow_private)
        app[PROVIDER_KEYS] = ProviderKeys(
            app[DATABASE],
            SecretBox(settings.encryption_key.get_secret_value(), PROVIDER_SECRETS),
            trier,
            settings.provider_base_urls,
            settings.provider_allow_private,
        )
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            app[VENDOR_VOICES] = VendorVoices(app[PROVIDER_KEYS], session, settings.provider_base_urls)
            yield
        await trier.close()

    return context


def _deliverer(settings: WebhookSettings, secrets: SecretBox) -> CleanupContext:
    async def context(app: web.Application) -> AsyncIterator[None]:
        async with GuardedClient(
            allow_private=settings.webhook_allow_private,
            per_host_limit=settings.webhook_concurrency,  # the limit per endpoint is the deliverer's
            total_timeout=timedelta(seconds=settings.webhook_timeout_seconds),
        ) as client:
            deliverer = Deliverer(
                app[DATABASE],
                client,
                secrets,
                SystemClock(),
                concurrency=settings.webhook_concurrency,
                lease=timedelta(seconds=settings.webhook_lease_seconds),
            )
            app[DRAIN_HOOKS].append(deliverer.drain)
            pruning = prune_forever(app[DATABASE], queue.PRUNE, timedelta(days=settings.webhook_log_days))
            delivering = kept_running(deliverer.run, "webhook deliveries", app[HEALTH])
            async with delivering, running(pruning, "pruning webhook log"):
                yield
            await deliverer.close()

    return context


async def _consumer(app: web.Application) -> AsyncIterator[None]:
    consumer = Consumer(app[DATABASE], app[BUS], queue=QUEUE, bindings=BINDINGS, handler=on_call_event, prefetch=4)
    await consumer.start()
    yield
    await consumer.close()


def build_app(settings: ProjectSettings, bus: EventBus | None = None) -> web.Application:
    """The API process; it relays its outbox to `bus` (RabbitMQ by default)."""
    secrets = SecretBox(settings.encryption_key.get_secret_value(), WEBHOOK_SECRETS)
    app = new_app(settings, SERVICE, ROUTERS, EVENT_TYPES)
    app.cleanup_ctx.extend(
        [
            database(settings, settings.database_schema),
            idempotency(settings.encryption_key.get_secret_value(), "project:idempotency"),
            _services(settings, secrets),
            _provider_keys(settings),
            outbox_relay(settings, bus, new_consumer),
        ]
    )
    return app


def build_webhooks_app(settings: WebhookSettings, bus: EventBus | None = None) -> web.Application:
    """The webhook worker: its HTTP side is health and metrics only."""
    secrets = SecretBox(settings.encryption_key.get_secret_value(), WEBHOOK_SECRETS)
    app = new_app(settings, WORKER)
    app.cleanup_ctx.extend(
        [
            database(settings, settings.database_schema),
            event_bus(settings, bus),
            _deliverer(settings, secrets),
            _consumer,
        ]
    )
    return app
