"""JSON Schemas that customers write (draft 2020-12): checked once, then values against them, in time that is bounded.

References are refused, because they can fetch or multiply without end; patterns are matched by RE2, in linear time.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import re2
from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.validators import extend

MAX_BYTES = 8_192
MAX_DEPTH = 10
_QUIETLY = re2.Options()
_QUIETLY.log_errors = False
_REFUSED = ("$ref", "$dynamicRef", "$id", "patternProperties")


class UnusableSchemaError(ValueError):
    """This schema can't be used; the text says where and why."""


def _pattern(validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(value, "string") and not re2.search(pattern, value):
        yield ValidationError("does not match the pattern")


_Validator = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]


def check_object_schema(schema: Mapping[str, Any]) -> None:
    """Can this describe the arguments of a function?

    Raises:
        UnusableSchemaError: it is no valid schema of an object, too large, too deep, or has what we refuse.
    """
    try:
        size = len(orjson.dumps(schema))
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise UnusableSchemaError("Not a JSON value.") from error
    if size > MAX_BYTES:
        raise UnusableSchemaError(f"A schema may have {MAX_BYTES} bytes.")
    _check_keywords(schema, "", 0)
    if schema.get("type") != "object":
        raise UnusableSchemaError('The type of the whole has to be "object".')
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        raise UnusableSchemaError(f"{where or 'the whole'}: {error.message[:200]}") from None


def _check_keywords(part: Any, where: str, depth: int) -> None:
    if depth > MAX_DEPTH * 2 and isinstance(part, dict | list):  # a property is two levels below its object
        raise UnusableSchemaError(f"{where}: nested more than {MAX_DEPTH} levels deep.")
    if isinstance(part, list):
        for place, item in enumerate(part):
            _check_keywords(item, f"{where}.{place}".lstrip("."), depth + 1)
    if not isinstance(part, dict):
        return
    for name, value in part.items():
        here = f"{where}.{name}".lstrip(".")
        if name in _REFUSED and not where.endswith("properties"):
            raise UnusableSchemaError(f"{here}: write the schema out, without {name}.")
        if name == "pattern" and isinstance(value, str):
            _check_pattern(value, here)
        _check_keywords(value, here, depth + 1)


def _check_pattern(pattern: str, where: str) -> None:
    try:
        re2.compile(pattern, _QUIETLY)
    except re2.error as error:
        raise UnusableSchemaError(f"{where}: not a regular expression of RE2 (no look-around, no groups).") from error


def misfit(schema: Mapping[str, Any], value: Any) -> str | None:
    """What is wrong with a value, as `where: what`, for whoever has written it; None when it fits."""
    error = next(_Validator(schema).iter_errors(value), None)
    if error is None:
        return None
    where = ".".join(str(part) for part in error.absolute_path)
    return f"{where or 'the whole'}: {error.message[:200]}"
