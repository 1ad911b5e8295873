"""What vendors did for us and how, as counters of this worker and of each call."""

from collections import Counter as Tally
from dataclasses import dataclass, field

from prometheus_client import Counter, Histogram

from call_service.vendors.errors import VendorError
from shared.providers import Stage

USED = Counter("talkstack_vendor_used", "What vendors charge for: tokens, characters, seconds.", ["provider", "unit"])
FAILURES = Counter("talkstack_vendor_failures", "Requests that a vendor failed.", ["provider", "stage", "kind"])
FIRST_BYTE = Histogram(
    "talkstack_vendor_first_byte_seconds",
    "Time from a request to the first byte of its answer, or from the end of the audio to its text.",
    ["provider", "stage"],
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2.5, 5, 10),
)


@dataclass(frozen=True, slots=True)
class Meter:
    """Counts for one provider in one stage of one call."""

    provider: str
    stage: Stage
    totals: Tally[tuple[str, str]] = field(default_factory=Tally)

    def count(self, unit: str, amount: float) -> None:
        """`unit`: `tokens_in`, `tokens_out`, `characters` or `seconds`."""
        USED.labels(self.provider, unit).inc(amount)
        self.totals[self.provider, unit] += amount  # type: ignore[assignment] # a Counter adds floats as well

    def first_byte(self, seconds: float) -> None:
        """The answer begins."""
        FIRST_BYTE.labels(self.provider, self.stage).observe(seconds)

    def failed(self, error: VendorError) -> None:
        """A request failed."""
        kind = type(error).__name__.removeprefix("Vendor").removesuffix("Error").lower()
        FAILURES.labels(self.provider, self.stage, kind).inc()
