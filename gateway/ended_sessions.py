"""Asks auth_service which sessions have ended: what a process that starts, or misses an event, would not know."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import structlog
from pydantic import BaseModel, ValidationError

from gateway.access_tokens import REVOKED_SECONDS, AccessTokens
from gateway.streams import OpenStreams
from shared.clock import rfc3339
from shared.errors import ApiError, BadGatewayError, UnavailableError

log = structlog.get_logger(__name__)

# An end may be committed later than the time it bears, by a machine whose clock differs.
OVERLAP = timedelta(seconds=60)

Ask = Callable[[str], Awaitable[tuple[int, Any]]]


class _Ended(BaseModel):
    session_ids: list[str]


class EndedSessions:
    """Tells `access_tokens` of all sessions ended since it asked last; at first of all whose tokens may live.

    `ask(since)` gives the status and body of auth_service's answer.
    """

    def __init__(
        self, ask: Ask, access_tokens: AccessTokens, streams: OpenStreams, now: Callable[[], datetime]
    ) -> None:
        self._ask = ask
        self._access_tokens = access_tokens
        self._streams = streams
        self._now = now
        self._since: datetime | None = None

    async def refresh(self) -> bool:
        """Ask; False when there was no answer."""
        asked_at = self._now()
        since = self._since or asked_at - timedelta(seconds=REVOKED_SECONDS)
        try:
            status, body = await self._ask(rfc3339(since))
            if status != HTTPStatus.OK:
                raise BadGatewayError(f"auth_service answered {status}.")
            ended = _Ended.model_validate(body)
        except (ApiError, ValidationError) as error:
            log.warning("ended_sessions_not_fetched", cause=repr(error))
            return False
        for session_id in ended.session_ids:
            self._access_tokens.revoke_session(session_id)
            self._streams.end_of(session_id)
        self._since = asked_at - OVERLAP
        return True

    async def ping(self) -> None:
        """Raises UnavailableError until the first answer."""
        if self._since is None:
            raise UnavailableError
