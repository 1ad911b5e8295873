"""What a refresh token is worth when it comes, apart from I/O (RFC 9700, 4.14.2: rotation with reuse detection).

A family is a chain: each token has one successor. A client that lost the answer may repeat its request within the
grace and is given the *same* successor, as long as that was not used. So a thief and the owner never hold two living
branches: the second use of any link, past the grace or past its successor's use, ends the family.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

GRACE = timedelta(seconds=30)
_NONCE = bytes(12)


class Fate(StrEnum):
    """What becomes of a refresh request."""

    ROTATE = "rotate"
    REPEAT = "repeat"
    REUSED = "reused"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token as it is kept; `spent_at` is when it was exchanged for its successor."""

    expires_at: datetime
    spent_at: datetime | None = None
    is_successor_spent: bool = False


def fate(token: RefreshToken, session_ends_at: datetime, *, is_revoked: bool, now: datetime) -> Fate:
    """Reuse of a family that has already ended is no news."""
    if is_revoked or now >= session_ends_at:
        return Fate.ENDED
    if token.spent_at is None:
        return Fate.ROTATE if now < token.expires_at else Fate.ENDED
    is_lost_answer = now - token.spent_at <= GRACE and not token.is_successor_spent
    return Fate.REPEAT if is_lost_answer else Fate.REUSED


def _key(token: str) -> AESGCM:
    return AESGCM(hmac.digest(token.encode(), b"talkstack:successor", "sha256"))


def seal_successor(token: str, successor: str) -> bytes:
    """Only who holds `token` can open it. Each key seals one message, so the nonce may be constant."""
    return _key(token).encrypt(_NONCE, successor.encode(), None)


def open_successor(token: str, sealed: bytes) -> str:
    """The successor of `token`."""
    return _key(token).decrypt(_NONCE, sealed, None).decode()
