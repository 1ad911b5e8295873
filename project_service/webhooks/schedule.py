"""What becomes of a delivery after an attempt: pure decisions."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

# The schedule that Standard Webhooks suggests: ten attempts over 75 h 35 min.
DELAYS = tuple(timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400))
MAX_ATTEMPTS = len(DELAYS) + 1
MAX_RETRY_AFTER = timedelta(hours=24)
JITTER = 0.1
FAILING_TOO_LONG = timedelta(days=5)
GONE = 410


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended: the answer's status, or the word for why there was none."""

    http_status: int | None
    error: str | None = None
    retry_after: timedelta | None = None

    @property
    def is_success(self) -> bool:
        return self.http_status is not None and 200 <= self.http_status < 300


@dataclass(frozen=True, slots=True)
class Verdict:
    """The delivery's next status, and when it is tried again if it is."""

    status: Literal["delivered", "pending", "parked"]
    delay: timedelta = timedelta()
    disables_endpoint: bool = False


def decide(outcome: Outcome, attempts: int, jitter: float) -> Verdict:
    """After `attempts` attempts, the last of which ended with `outcome`. `jitter` in [0, 1) spreads retries by ± 10 %.

    Redirects count as failures: the new address has not been checked, nor registered by the customer.
    """
    if outcome.is_success:
        return Verdict("delivered")
    if outcome.http_status == GONE:
        return Verdict("parked", disables_endpoint=True)
    if attempts >= MAX_ATTEMPTS:
        return Verdict("parked")
    delay = DELAYS[attempts - 1] * (1 - JITTER + 2 * JITTER * jitter)
    asked = min(outcome.retry_after or timedelta(), MAX_RETRY_AFTER)
    return Verdict("pending", max(delay, asked))


def parse_retry_after(header: str | None, now: datetime) -> timedelta | None:
    """Seconds or an HTTP date (RFC 9110 10.2.3); None when absent, malformed or past."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), MAX_RETRY_AFTER.total_seconds()))
    try:
        moment = parsedate_to_datetime(text)
        return max(moment.replace(tzinfo=moment.tzinfo or UTC) - now, timedelta()) or None
    except (ValueError, OverflowError):
        return None
