"""Schemas that customers write for the arguments of their functions."""

from typing import Any

import pytest

from shared.json_schema import UnusableSchemaError, check_object_schema, misfit

ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "pattern": "^[A-Z]{2}[0-9]+$"},
        "lines": {"type": "array", "items": {"type": "integer", "minimum": 1}},
    },
    "required": ["order"],
}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    "schema",
    [ORDER, {"type": "object"}, {"type": "object", "properties": {"$ref": {"type": "string"}}}, nested(10)],
)
def test_schemas_of_objects_are_usable(schema: dict[str, Any]) -> None:
    check_object_schema(schema)


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "array"}, 'The type of the whole has to be "object"'),
        ({}, 'The type of the whole has to be "object"'),
        ({"type": "object", "properties": {"a": {"type": "strin"}}}, "properties.a.type"),
        ({"type": "object", "required": "a"}, "required"),
        ({"type": "object", "properties": {"a": {"$ref": "http://169.254.169.254/"}}}, "properties.a.$ref"),
        ({"type": "object", "allOf": [{"$dynamicRef": "#x"}]}, "allOf.0.$dynamicRef"),
        ({"type": "object", "patternProperties": {"(a+)+$": {}}}, "patternProperties"),
        ({"type": "object", "properties": {"a": {"pattern": "(?=a)"}}}, "properties.a.pattern"),
        ({"type": "object", "description": "x" * 9000}, "8192 bytes"),
        (nested(11), "levels deep"),
    ],
)
def test_what_can_not_be_used_is_told_by_its_place(schema: dict[str, Any], told: str) -> None:
    with pytest.raises(UnusableSchemaError, match=told.replace("$", r"\$")):
        check_object_schema(schema)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"order": "AB12"}, None),
        ({"order": "AB12", "lines": [1, 2]}, None),
        ({}, "the whole: 'order' is a required property"),
        ({"order": "12"}, "order: does not match the pattern"),
        ({"order": "AB12", "lines": [1, 0]}, "lines.1: 0 is less than the minimum of 1"),
    ],
)
def test_arguments_are_checked_and_told_what_is_wrong(value: Any, told: str | None) -> None:
    assert misfit(ORDER, value) == told


def test_a_pattern_takes_linear_time() -> None:
    """With Python's own matcher this takes longer than the sun will shine."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    check_object_schema(schema)
    assert misfit(schema, {"a": "a" * 2000 + "b"}) == "a: does not match the pattern"
