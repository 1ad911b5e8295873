"""Queued mail, sealed: codes and addresses don't lie about in the database."""

from datetime import datetime, timedelta

import orjson
import structlog
from cryptography.exceptions import InvalidTag

from auth_service.mail.port import Mail
from shared.db import Tx
from shared.ids import new_id
from shared.secret_box import SecretBox

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=60)

_ADD = """
INSERT INTO mail_outbox (id, sealed, next_try_at, give_up_at) VALUES ($1, $2, $3, $4)
RETURNING pg_notify(current_schema() || '_mail', '')
"""
_CLAIM = """
UPDATE mail_outbox SET next_try_at = $1::timestamptz + $2::interval WHERE id IN (
    SELECT id FROM mail_outbox WHERE next_try_at <= $1 ORDER BY next_try_at LIMIT $3 FOR UPDATE SKIP LOCKED
)
RETURNING id, sealed, failures, give_up_at
"""


async def add(tx: Tx, box: SecretBox, mail: Mail, now: datetime, give_up_after: timedelta) -> None:
    """Queue `mail` in the transaction of what it tells about."""
    sealed = box.seal(orjson.dumps([mail.recipient, mail.subject, mail.text]))
    await tx.execute(_ADD, new_id(), sealed, now, now + give_up_after)


async def claim(tx: Tx, box: SecretBox, now: datetime, limit: int) -> list[tuple[str, Mail, int, datetime]]:
    """Up to `limit` mails that are due (id, mail, failures, give_up_at), nobody else's for the lease.

    What this process can't read is left to others: while ENCRYPTION_KEY changes, they may have another one.
    """
    claimed = []
    for row in await tx.fetch(_CLAIM, now, LEASE, limit):
        try:
            mail = Mail(*orjson.loads(box.open(row["sealed"])))
        except InvalidTag:
            log.warning("mail sealed with another key", given_up=row["give_up_at"] <= now)
            if row["give_up_at"] <= now:
                await delete(tx, row["id"])
            continue
        claimed.append((str(row["id"]), mail, row["failures"], row["give_up_at"]))
    return claimed


async def delete(tx: Tx, mail_id: str) -> None:
    await tx.execute("DELETE FROM mail_outbox WHERE id = $1", mail_id)


async def postpone(tx: Tx, mail_id: str, until: datetime) -> None:
    await tx.execute("UPDATE mail_outbox SET failures = failures + 1, next_try_at = $2 WHERE id = $1", mail_id, until)
