"""What vendors did for us and how, as counters of this worker and of each call."""

from collections import Counter as Tally
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from prometheus_client import Counter, Histogram

from call_service.vendors.errors import VendorError
from shared.providers import Stage

Kind = Literal["carrier", Stage]
# What can be used, and for how much of it a price is usual: a million, or a minute.
UNITS: Mapping[str, int] = {
    "tokens_in": 1_000_000,
    "tokens_out": 1_000_000,
    "cached_tokens_in": 1_000_000,
    "audio_tokens_in": 1_000_000,
    "audio_tokens_out": 1_000_000,
    "transcription_tokens_in": 1_000_000,
    "transcription_tokens_out": 1_000_000,
    "characters": 1_000_000,
    "seconds": 60,
}

USED = Counter("talkstack_vendor_used", "What vendors charge for: tokens, characters, seconds.", ["provider", "unit"])
FAILURES = Counter("talkstack_vendor_failures", "Requests that a vendor failed.", ["provider", "stage", "kind"])
FIRST_BYTE = Histogram(
    "talkstack_vendor_first_byte_seconds",
    "Time from a request to the first byte of its answer, or from the end of the audio to its text.",
    ["provider", "stage"],
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2.5, 5, 10),
)


class Used(NamedTuple):
    """What a call has used; `unit` is one of `UNITS`."""

    kind: Kind
    provider: str
    model: str
    unit: str


def by_unit(used: Mapping[Used, float]) -> Tally[str]:
    """The sums of all stages and models, by `provider.unit`."""
    sums: Tally[str] = Tally()
    for what, amount in used.items():
        sums[f"{what.provider}.{what.unit}"] += amount  # type: ignore[assignment] # a Counter adds floats as well
    return sums


@dataclass(frozen=True, slots=True)
class Meter:
    """Counts for one model of one provider in one stage of one call."""

    provider: str
    stage: Stage
    model: str = ""
    totals: Tally[Used] = field(default_factory=Tally)

    def count(self, unit: str, amount: float) -> None:
        """`unit`: one of `UNITS`."""
        USED.labels(self.provider, unit).inc(amount)
        self.totals[Used(self.stage, self.provider, self.model, unit)] += amount  # type: ignore[assignment] # as above

    def first_byte(self, seconds: float) -> None:
        """The answer begins."""
        FIRST_BYTE.labels(self.provider, self.stage).observe(seconds)

    def failed(self, error: VendorError) -> None:
        """A request failed."""
        kind = type(error).__name__.removeprefix("Vendor").removesuffix("Error").lower()
        FAILURES.labels(self.provider, self.stage, kind).inc()
