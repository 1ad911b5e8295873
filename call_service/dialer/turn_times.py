"""What is kept and measured about how a turn was made."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from prometheus_client import Histogram

from call_service.vendors.usage import Used, by_unit
from call_service.voice.options import TurnTimings

# By carrier only: agents are too many for labels, their times are in the timelines of their calls.
STAGES = Histogram(
    "talkstack_turn_stage_seconds",
    "What the steps of a turn took, from the end of a callee's words to the last of the agent's.",
    ["stage", "carrier"],
    buckets=(0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.55, 0.8, 1.1, 1.5, 2.5, 5, 10),
)


class TurnTimes:
    """Of one call. `usage` is what its vendors were used for so far."""

    def __init__(self, carrier: str, usage: Mapping[Used, float]) -> None:
        self._carrier = carrier
        self._usage = usage
        self._told: Counter[str] = Counter()

    def of(self, timings: TurnTimings) -> dict[str, Any]:
        """The times that are known, and as `usage` what was used since the turn before."""
        known: dict[str, Any] = {name: value for name, value in asdict(timings).items() if value is not None}
        for name, value in known.items():
            if name.endswith("_ms"):
                STAGES.labels(name.removesuffix("_ms"), self._carrier).observe(value / 1000)
        if used := self._news():
            known["usage"] = used
        return known

    def _news(self) -> dict[str, float]:
        now = by_unit(self._usage)
        used = {what: round(amount - self._told[what], 3) for what, amount in now.items()}
        self._told = now
        return {what: amount for what, amount in used.items() if amount}
