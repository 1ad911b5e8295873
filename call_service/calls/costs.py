"""What a call cost: a line for the carrier's minutes, and one for each thing that a vendor charges for."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from call_service.vendors.usage import UNITS, Kind, Used
from shared.providers import PROVIDERS

MICRO = Decimal("0.000001")

Price = Annotated[Decimal, Field(ge=0, le=1_000_000)]


def _known(prices: dict[str, dict[str, Decimal]]) -> dict[str, dict[str, Decimal]]:
    for name, units in prices.items():
        if name.split("/")[0] not in PROVIDERS:
            raise ValueError(f"There is no provider {name.split('/')[0]}.")
        if unknown := sorted(units.keys() - UNITS.keys()):
            raise ValueError(f"{name}: there is no unit {', '.join(unknown)}; there are {', '.join(UNITS)}.")
    return prices


Prices = Annotated[dict[str, dict[str, Price]], AfterValidator(_known)]
"""By provider, or `provider/model` which comes first, and unit: of a million tokens or characters, of a minute."""


class CostLine(BaseModel):
    """`price` is that of `per` units; what nobody gave a price for costs nothing, and is shown all the same."""

    kind: Kind
    provider: str
    model: str
    unit: str
    amount: float
    price: float
    per: int
    cost: float


def carrier_line(carrier: str, seconds: int, price_per_minute: Decimal) -> CostLine:
    """Billed by the second, to the millionth."""
    return _line(Used("carrier", carrier, "", "seconds"), seconds, price_per_minute)


def vendor_lines(used: Mapping[Used, float], prices: Mapping[str, Mapping[str, Decimal]]) -> list[CostLine]:
    """By provider, in their order of use."""
    return [_line(what, amount, _price(what, prices)) for what, amount in used.items() if amount]


def total(lines: Iterable[CostLine]) -> Decimal:
    """To the millionth."""
    return sum((Decimal(str(line.cost)) for line in lines), Decimal(0)).quantize(MICRO)


def stored(lines: Iterable[CostLine]) -> list[dict[str, Any]]:
    """As JSON."""
    return [line.model_dump() for line in lines]


def _price(what: Used, prices: Mapping[str, Mapping[str, Decimal]]) -> Decimal:
    of_model = prices.get(f"{what.provider}/{what.model}", {}).get(what.unit)
    return prices.get(what.provider, {}).get(what.unit, Decimal(0)) if of_model is None else of_model


def _line(what: Used, amount: float, price: Decimal) -> CostLine:
    per = UNITS[what.unit]
    return CostLine(
        kind=what.kind,
        provider=what.provider,
        model=what.model,
        unit=what.unit,
        amount=round(amount, 3),
        price=float(price),
        per=per,
        cost=float((Decimal(str(round(amount, 3))) * price / per).quantize(MICRO)),
    )
