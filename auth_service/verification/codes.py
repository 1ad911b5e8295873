"""Rules of the six-digit codes, apart from I/O."""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

LIFETIME = timedelta(minutes=10)
TRIES = 5


class Verdict(StrEnum):
    """What a given code is worth. `dead`: there is none, it is too old, or it was guessed at too often."""

    RIGHT = "right"
    WRONG = "wrong"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """A code as it is kept."""

    hash: bytes
    tries_left: int
    expires_at: datetime


def new_code() -> str:
    """Six digits from the system's randomness."""
    return f"{secrets.randbelow(10**6):06}"


def judge(issued: IssuedCode, given: bytes, now: datetime) -> Verdict:
    """`given` is the keyed hash of what the client sent."""
    if issued.tries_left <= 0 or now >= issued.expires_at:
        return Verdict.DEAD
    return Verdict.RIGHT if hmac.compare_digest(issued.hash, given) else Verdict.WRONG
