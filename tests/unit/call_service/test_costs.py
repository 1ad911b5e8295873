"""What a call is said to have cost."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from call_service.calls.costs import Prices, carrier_line, total, vendor_lines
from call_service.vendors.usage import Used

PRICES = {
    "openai": {"tokens_in": Decimal(1), "characters": Decimal(15)},
    "openai/gpt-4o-mini": {"tokens_in": Decimal("0.15")},
    "deepgram": {"seconds": Decimal("0.0077")},
}


def test_minutes_cost_by_the_second_to_the_millionth() -> None:
    line = carrier_line("sip", 31, Decimal("0.05"))
    assert (line.kind, line.provider, line.unit, line.amount, line.per) == ("carrier", "sip", "seconds", 31, 60)
    assert total([line]) == Decimal("0.025833")


def test_a_model_has_its_own_price_else_that_of_its_provider() -> None:
    used = {
        Used("llm", "openai", "gpt-4o-mini", "tokens_in"): 2_000_000,
        Used("llm", "openai", "gpt-4o", "tokens_in"): 500_000,
        Used("tts", "openai", "gpt-4o-mini-tts", "characters"): 1_000,
        Used("stt", "deepgram", "nova-3", "seconds"): 90,
    }
    lines = vendor_lines(used, PRICES)
    assert [line.cost for line in lines] == [0.3, 0.5, 0.015, 0.01155]
    assert total(lines) == Decimal("0.82655")


def test_what_has_no_price_is_shown_and_costs_nothing() -> None:
    used = {Used("llm", "openai", "gpt-4o-mini", "tokens_out"): 12, Used("llm", "groq", "x", "tokens_in"): 0}
    [line] = vendor_lines(used, PRICES)
    assert (line.amount, line.price, line.cost) == (12, 0, 0)


@pytest.mark.parametrize(
    ("prices", "says"),
    [
        ({"openia": {"tokens_in": 1}}, "There is no provider openia."),
        ({"openai": {"tokens": 1}}, "openai: there is no unit tokens; there are tokens_in"),
        ({"openai": {"tokens_in": -1}}, "greater than or equal to 0"),
        ({"openai": 1}, "valid dictionary"),
    ],
)
def test_prices_that_mean_nothing_are_refused(prices: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        TypeAdapter(Prices).validate_python(prices)
