"""Internal tokens: who a request speaks for, signed by the gateway (or a service) for 30 seconds.

HS256 with one shared secret: verifying costs 10 µs, a tenth of Ed25519, and every holder is a process of ours
(ADR 0003).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import jwt

from shared.errors import ApiError

HEADER = "X-Internal-Token"
LIFETIME = timedelta(seconds=30)
LEEWAY = timedelta(seconds=5)
ALGORITHM = "HS256"
# `WWW-Authenticate` of a refusal: it is the gateway's own token that was refused, not the customer's credentials.
CHALLENGE = "Internal"

Credential = Literal["token", "api_key", "service"]


class InternalTokenError(ApiError):
    """This service only answers requests that come through the gateway."""

    code = "internal_token_invalid"
    status = 401

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": CHALLENGE})


class InternalTokenExpiredError(InternalTokenError):
    """The internal token is older than it may be: the clock of this service or of the one that asks is wrong."""

    code = "internal_token_expired"


@dataclass(frozen=True, slots=True)
class Principal:
    """The customer a request speaks for. `tenant` is the user id: every query filters by it.

    `session_id`, or `key_sha256` (hexadecimal) of an API key, is known where what was begun has to end with it.
    """

    user_id: str
    credential: Credential
    session_id: str | None = None
    scopes: tuple[str, ...] = ()
    key_sha256: str | None = None

    @property
    def tenant(self) -> str:
        return self.user_id


class InternalTokens:
    """Signs and verifies. A request without a principal (log-in, sign-up) carries a token too, without subject."""

    def __init__(self, secret: str, issuer: str, now: Callable[[], datetime]) -> None:
        self._secret = secret
        self._issuer = issuer
        self._now = now

    def sign(self, principal: Principal | None) -> str:
        """A token for one request."""
        now = self._now()
        claims = {"iss": self._issuer, "iat": int(now.timestamp()), "exp": int((now + LIFETIME).timestamp())}
        if principal is not None:
            claims |= {
                "sub": principal.user_id,
                "cred": principal.credential,
                "sid": principal.session_id,
                "scopes": list(principal.scopes),
                "key": principal.key_sha256,
            }
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def verify(self, token: str | None) -> Principal | None:
        """The principal of a token, None for an anonymous one.

        Raises:
            InternalTokenError: missing or forged.
            InternalTokenExpiredError: signed more than 35 s ago.
        """
        try:
            claims = jwt.decode(
                token or "",
                self._secret,
                algorithms=[ALGORITHM],
                leeway=LEEWAY,
                options={"require": ["iss", "exp"], "verify_iat": False},
            )
        except jwt.ExpiredSignatureError as error:
            raise InternalTokenExpiredError from error
        except jwt.InvalidTokenError as error:
            raise InternalTokenError from error
        if "sub" not in claims:
            return None
        scopes = tuple(claims["scopes"])
        return Principal(claims["sub"], claims["cred"], claims["sid"], scopes, claims.get("key"))
