"""One-shot tokens with which a client that can't send headers (EventSource, a browser's WebSocket) opens a stream."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta

from yarl import URL

from call_service.events import repository
from call_service.events.errors import StreamTokenUnusableError
from call_service.events.repository import Bounds, TokenOwner
from shared.db import Database
from shared.tokens import Principal

LIFETIME = timedelta(seconds=60)
_OF_ALL = frozenset({"/events", "/events/ws"})
_OF_CALL = re.compile(r"/call/([^/]+)/events")


def asked(target: str) -> Bounds | None:
    """What a request target (path and query) asks about; None when it is no stream."""
    url = URL(target, encoded=True)
    if of_call := _OF_CALL.fullmatch(url.path):
        return Bounds(call_id=of_call[1])
    if url.path not in _OF_ALL:
        return None
    return Bounds(*(_only(url.query.getall(name, [])) for name in ("project_id", "call_id")))


def _only(values: list[str]) -> str | None:
    return values[0] if len(values) == 1 else None


@dataclass(frozen=True, slots=True)
class StreamTokens:
    """They are kept in the database, as hashes, and deleted by their first use: by any process, and once."""

    db: Database

    async def issue(self, principal: Principal, bounds: Bounds) -> str:
        """A token of 256 random bits that speaks for `principal` within `bounds`."""
        token = secrets.token_urlsafe(32)
        await repository.keep_token(self.db, _hash(token), principal, bounds, LIFETIME)
        return token

    async def redeem(self, token: str, target: str) -> TokenOwner:
        """Whose token it is; it is used up. One that is shown for another target stays.

        Raises:
            StreamTokenUnusableError: it is unknown, used, expired or for another target.
        """
        bounds = asked(target)
        owner = bounds and await repository.take_token(self.db, _hash(token), bounds)
        if not owner:
            raise StreamTokenUnusableError
        return owner


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
