"""What customers do with their webhooks: register, rotate, test, look into the log, send again."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from project_service.errors import ProjectNotFoundError
from project_service.webhooks import queue, repository
from project_service.webhooks.errors import DeliveryNotFoundError, WebhookNotSetError
from project_service.webhooks.queue import Message
from project_service.webhooks.schemas import Delivery, DeliveryQuery, ReplayQuery
from project_service.webhooks.secrets import new_secret
from shared.clock import Clock, rfc3339
from shared.db import Database, Tx
from shared.errors import FieldError
from shared.http_client import InvalidUrlError, check_url
from shared.ids import is_id, new_id
from shared.pagination import Cursors, page_of
from shared.secret_box import SecretBox

SECRET_OVERLAP = timedelta(hours=24)
TEST = "webhook.test"
_REPLAY_BATCH = 500


def body_of(type_: str, time: datetime, data: object) -> str:
    """The message as it is signed and sent."""
    return orjson.dumps({"type": type_, "timestamp": rfc3339(time), "data": data}).decode()


@dataclass(frozen=True, slots=True)
class Webhooks:
    """One endpoint a project."""

    db: Database
    secrets: SecretBox
    cursors: Cursors
    clock: Clock
    allow_private: bool

    async def check(self, url: str, field: str) -> None:
        """Raises InvalidUrlError, naming `field`."""
        try:
            await check_url(url, self.allow_private)
        except InvalidUrlError as error:
            raise InvalidUrlError(error.message, errors=[FieldError(field, error.code, error.message)]) from None

    async def register(self, tx: Tx, tenant: str, project_id: str, url: str, *, shows: bool) -> str | None:
        """Set the URL of a project; it was checked. With `shows`, the signing secret unless it was shown before."""
        sealed = self.secrets.seal_text(new_secret())
        registered = await repository.register(tx, tenant, project_id, url, sealed, shows=shows)
        return self.secrets.open_text(registered.secret) if shows and not registered.was_shown else None

    async def rotate(self, tenant: str, project_id: str) -> tuple[str, datetime]:
        """A new secret, and until when the one before it signs too. Raises WebhookNotSetError."""
        secret = new_secret()
        async with self.db.transaction() as tx:
            await self._require_endpoint(tx, tenant, project_id)
            until = await repository.rotate(tx, tenant, project_id, self.secrets.seal_text(secret), SECRET_OVERLAP)
        return secret, until

    async def test(self, tenant: str, project_id: str) -> str:
        """Queue a message of type `webhook.test`; returns the delivery's id. Raises WebhookNotSetError."""
        id_ = new_id()
        body = body_of(TEST, self.clock.now(), {"projectId": project_id})
        async with self.db.transaction() as tx:
            await self._require_endpoint(tx, tenant, project_id)
            await queue.add(tx, Message(id_, tenant, project_id, id_, TEST, id_, 1, body))
        return id_

    async def deliveries(self, tenant: str, query: DeliveryQuery) -> tuple[list[Delivery], str | None]:
        """A page of the log, and the cursor of the next one."""
        found = await repository.deliveries(self.db, tenant, query, query.position(self.cursors))
        return page_of(found, query, self.cursors, lambda delivery: delivery.id)

    async def replay(self, tenant: str, delivery_id: str) -> None:
        """Send one delivery again. Raises DeliveryNotFoundError."""
        async with self.db.transaction() as tx:
            subject = await repository.subject_of(tx, tenant, delivery_id)
            if subject is None:
                raise DeliveryNotFoundError
            await queue.lock_subjects(tx, [subject])
            await queue.reopen(tx, tenant, [delivery_id], [subject])

    async def replay_since(self, tenant: str, query: ReplayQuery) -> int:
        """Send all finished deliveries of a range again; how many.

        In transactions of their own, also under an idempotency key: the locks of all calls of a long range at once
        would hold up every customer's deliveries.
        """
        if query.project_id is not None and not is_id(query.project_id):
            raise ProjectNotFoundError
        async with self.db.transaction():
            pass  # what an earlier request with the same key has answered ends this one here
        replayed, last = 0, None
        while True:
            async with self.db.separate_transaction() as tx:
                found = await repository.finished_since(tx, tenant, query, last, _REPLAY_BATCH)
                subjects = [subject for _, subject in found]
                await queue.lock_subjects(tx, subjects)
                replayed += await queue.reopen(tx, tenant, [id_ for id_, _ in found], subjects)
            if len(found) < _REPLAY_BATCH:
                return replayed
            last = found[-1][0]

    @staticmethod
    async def _require_endpoint(tx: Tx, tenant: str, project_id: str) -> None:
        if not await repository.has_endpoint(tx, tenant, project_id):
            raise WebhookNotSetError
