"""Stream tokens (`?token=`): call_service made them and uses each up, so that one opens one stream at any gateway."""

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from gateway.access_tokens import AccessTokens
from gateway.streams import OpenStreams
from shared.errors import BadGatewayError, UnauthorizedError
from shared.scopes import Scope
from shared.tokens import Principal

PARAMETER = "token"
_FORM = re.compile(r"[A-Za-z0-9_-]{43}")

Ask = Callable[[str, str], Awaitable[tuple[int, Any]]]


class InvalidStreamTokenError(UnauthorizedError):
    """The stream token is unknown, used, expired or for another stream; ask for a new one."""

    code = "invalid_stream_token"


class _Owner(BaseModel):
    user_id: str
    credential: Literal["token", "api_key"]
    session_id: str | None
    key_sha256: str | None = None


class StreamTokens:
    """`ask(token, target)` gives the status and body of call_service's answer."""

    def __init__(self, ask: Ask, access_tokens: AccessTokens, streams: OpenStreams) -> None:
        self._ask = ask
        self._access_tokens = access_tokens
        self._streams = streams

    async def redeem(self, token: str, target: str) -> Principal:
        """Use a token up for a request target; whom it speaks for, in order to read.

        Raises:
            InvalidStreamTokenError: it opens nothing, or the session or API key that it was made with is over.
            UnavailableError, BadGatewayError, GatewayTimeoutError: call_service gave no answer.
        """
        if not _FORM.fullmatch(token):
            raise InvalidStreamTokenError
        status, body = await self._ask(token, target)
        if status == HTTPStatus.NOT_FOUND:
            raise InvalidStreamTokenError
        if status != HTTPStatus.OK:
            raise BadGatewayError(f"call_service answered {status} to a stream token.")
        try:
            owner = _Owner.model_validate(body)
        except ValidationError as error:
            raise BadGatewayError from error
        if self._access_tokens.is_revoked(owner.session_id) or self._streams.is_over(owner.key_sha256):
            raise InvalidStreamTokenError
        scopes = (Scope.CALLS_READ,)
        return Principal(owner.user_id, owner.credential, owner.session_id, scopes, owner.key_sha256)
