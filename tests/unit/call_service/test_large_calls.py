"""What is too large for an event is left out of it, and variables have a limit."""

from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter, ValidationError

from call_service.calls.events import fitting
from call_service.calls.schemas import MAX_VARIABLES_BYTES, Variables
from shared.outbox import MAX_DATA_BYTES

HALF = "x" * (MAX_DATA_BYTES // 2)
EMPTY: dict[str, Any] = {"transcript": [], "dynamicVariables": {}, "data": {}, "analysis": None}


@pytest.mark.parametrize(
    ("large", "left_out"),
    [
        ({"transcript": [{"text": "Hello."}]}, set()),
        ({"transcript": [{"text": HALF}, {"text": HALF}]}, {"transcript"}),
        ({"transcript": [{"text": HALF}], "data": {"order": HALF}}, {"transcript"}),
        ({"dynamicVariables": {"a": HALF}, "data": {"order": HALF}}, {"dynamicVariables"}),
        ({"dynamicVariables": {"a": HALF}, "data": {"order": HALF + HALF}}, {"dynamicVariables", "data"}),
        ({"analysis": {"summary": HALF + HALF}}, {"analysis"}),
    ],
)
def test_an_event_leaves_out_no_more_of_a_call_than_it_has_to(large: dict[str, Any], left_out: set[str]) -> None:
    whole = {"call_id": "1", **EMPTY, **large}
    body = fitting(whole)
    assert len(orjson.dumps(body)) <= MAX_DATA_BYTES
    assert {name for name in whole if body[name] != whole[name]} == left_out
    assert all(body[name] == EMPTY[name] for name in left_out)


def test_variables_have_a_limit_together() -> None:
    check = TypeAdapter(Variables).validate_python
    fits = {f"v{number}": "x" * 1000 for number in range(64)}
    assert len(orjson.dumps(fits)) <= MAX_VARIABLES_BYTES
    assert check(fits) == fits
    with pytest.raises(ValidationError, match="All variables together may have 64 KiB as JSON"):
        check({**fits, "last": "x" * 1000})
    with pytest.raises(ValidationError, match="64 KiB"):
        check({f"v{number}": "\u0001" * 1000 for number in range(20)})  # six bytes each
