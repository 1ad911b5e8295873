"""The composition of the API process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import aiohttp
from aiohttp import web

from auth_service.accounts import events as account_events
from auth_service.accounts.routes import router as accounts
from auth_service.accounts.service import ACCOUNTS, AccountService
from auth_service.api_keys import events as api_key_events
from auth_service.api_keys.routes import router as api_keys
from auth_service.api_keys.service import API_KEYS, ApiKeyService
from auth_service.api_keys.usage import KeyUsage
from auth_service.audit.repository import PRUNE as PRUNE_AUDIT
from auth_service.audit.routes import router as audit
from auth_service.audit.service import AUDIT_LOG, AuditLog
from auth_service.keys.routes import router as keys
from auth_service.keys.service import KEY_RING, KeyRing
from auth_service.mail import events as mail_events
from auth_service.mail.files import FileMailer
from auth_service.mail.port import Mailer
from auth_service.mail.service import MAIL, MailQueue
from auth_service.mail.smtp import SmtpMailer
from auth_service.passwords.hasher import PasswordHasher
from auth_service.projects.client import ProjectClient
from auth_service.projects.routes import router as projects
from auth_service.projects.service import ACTIVE_PROJECTS, ActiveProjectService
from auth_service.resources import SOURCE, Resources
from auth_service.sessions import events as session_events
from auth_service.sessions.repository import PRUNE as PRUNE_SESSIONS
from auth_service.sessions.routes import router as sessions
from auth_service.sessions.service import SESSIONS, SessionService
from auth_service.settings import AuthSettings
from auth_service.throttles.repository import PRUNE as PRUNE_THROTTLES
from auth_service.verification.repository import PRUNE as PRUNE_SECRETS
from auth_service.verification.routes import router as verification
from auth_service.verification.service import VERIFICATION, VerificationService
from shared.background import kept_running, running
from shared.bus import EventBus
from shared.clock import Clock, SystemClock
from shared.db import Database
from shared.endpoints import INTERNAL_TOKENS
from shared.health import HEALTH
from shared.http import new_app
from shared.inbox import Consumer
from shared.pruning import prune_forever
from shared.resources import DATABASE, CleanupContext, database, idempotency, outbox_relay
from shared.secret_box import SecretBox

EVENT_TYPES = (*account_events.TYPES, *session_events.TYPES, *api_key_events.TYPES)
ROUTERS = (accounts, verification, sessions, api_keys, projects, audit, keys)
DAY = timedelta(days=1)


def _mailer(settings: AuthSettings, clock: Clock) -> Mailer:
    if settings.smtp_url is None:
        return FileMailer(settings.mail_dir, settings.mail_from, clock)
    return SmtpMailer(settings.smtp_url.get_secret_value(), settings.mail_from)


def _box(settings: AuthSettings, purpose: str) -> SecretBox:
    return SecretBox(settings.encryption_key.get_secret_value(), f"auth:{purpose}")


def _services(settings: AuthSettings, clock: Clock, mailer: Mailer) -> CleanupContext:
    """Everything that needs the database, and what runs in the background."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        db = app[DATABASE]
        mail = app[MAIL] = MailQueue(db, mailer, _box(settings, "mail"), clock)
        keys = KeyRing(db, _box(settings, "signing-keys"), clock, timedelta(days=settings.signing_key_days))
        passwords = PasswordHasher(settings.password_hash_threads, settings.password_hash_queue)
        resources = Resources(settings, db, clock, mail, _box(settings, "secrets"), passwords, keys)
        usage = KeyUsage(db, clock)
        await keys.refresh()
        async with AsyncExitStack() as stack:
            stack.callback(passwords.close)
            http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
            _wire(app, resources, usage, ProjectClient(http, settings.project_url, app[INTERNAL_TOKENS]))
            for name, work in {
                "signing keys": keys.run(),
                "key usage": usage.run(),
                "pruning audit log": prune_forever(db, PRUNE_AUDIT, timedelta(days=settings.audit_days)),
                "pruning sessions": prune_forever(db, PRUNE_SESSIONS, DAY),
                "pruning throttles": prune_forever(db, PRUNE_THROTTLES, DAY),
                "pruning codes": prune_forever(db, PRUNE_SECRETS, DAY),
            }.items():
                await stack.enter_async_context(running(work, name))
            await stack.enter_async_context(kept_running(mail.run, "mail queue", app[HEALTH]))
            yield

    return context


def _wire(app: web.Application, resources: Resources, usage: KeyUsage, projects: ProjectClient) -> None:
    verification = VerificationService(resources)
    sessions = SessionService(resources)
    app[KEY_RING] = resources.keys
    app[VERIFICATION] = verification
    app[SESSIONS] = sessions
    app[ACCOUNTS] = AccountService(resources, verification, sessions)
    app[API_KEYS] = ApiKeyService(resources, usage)
    app[AUDIT_LOG] = AuditLog(resources)
    app[ACTIVE_PROJECTS] = ActiveProjectService(resources, projects)


def build_app(
    settings: AuthSettings, bus: EventBus | None = None, *, clock: Clock | None = None, mailer: Mailer | None = None
) -> web.Application:
    """The API of auth_service; `bus`, `clock` and `mailer` replace RabbitMQ, the machine's clock and SMTP or files."""
    clock = clock or SystemClock()
    app = new_app(settings, SOURCE, ROUTERS, EVENT_TYPES)

    def make_consumer(db: Database, bus: EventBus) -> Consumer:
        return mail_events.consumer(db, bus, app[MAIL])

    app.cleanup_ctx.append(database(settings, settings.database_schema))
    app.cleanup_ctx.append(idempotency(settings.encryption_key.get_secret_value(), "auth:idempotency"))
    app.cleanup_ctx.append(_services(settings, clock, mailer or _mailer(settings, clock)))
    app.cleanup_ctx.append(outbox_relay(settings, bus, make_consumer))
    return app
