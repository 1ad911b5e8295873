"""What was stored under other rules is read as it is."""

import warnings
from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from shared.stored import as_stored


class Loud(BaseModel):
    kind: Literal["loud"]
    volume: int = Field(ge=0, le=10)


class Soft(BaseModel):
    kind: Literal["soft"]
    volume: int = Field(ge=0, le=3)


class Inner(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True)

    wait_ms: int = Field(100, le=500)


class Outer(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True)

    short_name: Annotated[str, Field(max_length=3)]
    inner: Inner | None = None
    others: tuple[Inner, ...] = ()
    voices: list[Annotated[Loud | Soft, Field(discriminator="kind")]] = Field([], max_length=2)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.short_name == "bad":
            raise ValueError("no")
        return self


@pytest.mark.parametrize(
    "values",
    [
        {"shortName": "abc"},
        {"shortName": "abcd"},
        {"shortName": "bad", "inner": None},
        {"shortName": "abc", "inner": {"waitMs": 900}, "others": [{"waitMs": 1}, {"waitMs": 901}]},
        {"shortName": "abc", "voices": [{"kind": "soft", "volume": 9}, {"kind": "loud", "volume": 1}]},
        {"shortName": "abc", "voices": [{"kind": "soft", "volume": 1}] * 3},
    ],
)
def test_it_is_shown_as_it_is(values: dict[str, Any]) -> None:
    found = as_stored(Outer, values)
    with warnings.catch_warnings(action="error"):
        shown = found.model_dump(mode="json", by_alias=True)
    assert shown == {"inner": None, "others": [], "voices": [], **values}


@pytest.mark.parametrize(
    "values",
    [
        {"shortName": 7},
        {"shortName": "abc", "inner": {"waitMs": "long"}},
        {"shortName": "abc", "inner": []},
        {"shortName": "abc", "others": {"waitMs": 1}},
        {"shortName": "abc", "voices": [{"kind": "soft", "volume": None}]},
        {"inner": {"waitMs": 1}},
    ],
)
def test_what_has_other_types_or_not_all_is_not_read(values: dict[str, Any]) -> None:
    """Who counts with it would fail later, and then perhaps in the middle of a call."""
    with pytest.raises(ValidationError):
        as_stored(Outer, values)


def test_names_do_as_well_and_what_is_left_out_has_its_default() -> None:
    found = as_stored(Outer, {"short_name": "too long", "inner": {"wait_ms": 900}})
    assert (found.short_name, found.inner and found.inner.wait_ms, found.voices) == ("too long", 900, [])
