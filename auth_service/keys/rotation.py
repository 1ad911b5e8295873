"""Which key signs, which are published, and when a new one is due: pure functions of time.

Every replica holds the same keys and each has its hour to begin, so all change over at the same moment without talking
to one another, a whole key lifetime after the new key was first published.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ACCESS_TOKEN_LIFETIME = timedelta(hours=2)
KEPT_AFTER_LAST_USE = ACCESS_TOKEN_LIFETIME + timedelta(minutes=10)  # clocks of replicas differ a little


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key that signs from `signs_from` until the next one does."""

    kid: str
    private_key: Ed25519PrivateKey
    signs_from: datetime


def signer(keys: Sequence[SigningKey], now: datetime) -> SigningKey:
    """The youngest key whose time has come."""
    return max((key for key in keys if key.signs_from <= now), key=lambda key: key.signs_from)


def due(starts: Sequence[datetime], now: datetime, lifetime: timedelta) -> list[datetime]:
    """When the missing keys begin to sign; afterwards there is one that signs, and one published before it does."""
    current = max((start for start in starts if start <= now), default=None)
    missing = [now] if current is None else []
    if not any(start > now for start in starts):
        # After a long stop the next key still gets a full lifetime of being known.
        missing.append(now + lifetime if current is None else max(current, now) + lifetime)
    return missing


def outdated(starts: Sequence[datetime], now: datetime) -> list[datetime]:
    """Keys none of whose tokens can still be valid."""
    superseded = [start for start in starts if start <= now - KEPT_AFTER_LAST_USE]
    return sorted(superseded)[:-1]
