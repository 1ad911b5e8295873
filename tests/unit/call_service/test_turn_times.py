"""What is kept about the making of a turn."""

from collections import Counter

from call_service.calls.timeline import TimedTurn, spreads
from call_service.dialer.turn_times import TurnTimes
from call_service.vendors.usage import Used
from call_service.voice.options import TurnTimings


def test_usage_is_of_the_turn_and_what_did_not_happen_is_left_out() -> None:
    usage: Counter[Used] = Counter()
    times = TurnTimes("simulated", usage)
    assert times.of(TurnTimings(endpointing_ms=0)) == {"endpointing_ms": 0}
    usage[Used("llm", "openai", "gpt-4o-mini", "tokens_in")] += 40
    assert times.of(TurnTimings(brain_ms=120)) == {"brain_ms": 120, "usage": {"openai.tokens_in": 40}}
    usage[Used("llm", "openai", "gpt-4o", "tokens_in")] += 2
    assert times.of(TurnTimings()) == {"usage": {"openai.tokens_in": 2}}


def test_percentiles_are_of_times_only() -> None:
    turns = [
        TimedTurn(
            role="agent", text="", start_ms=0, end_ms=0, interrupted=False, timings={"brain_ms": ms, "characters": 9}
        )
        for ms in range(100, 0, -1)
    ]
    found = {name: spread.model_dump() for name, spread in spreads(turns).items()}
    assert found == {"brain_ms": {"count": 100, "p50": 50, "p95": 95, "max": 100}}
