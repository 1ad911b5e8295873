"""What is stored as pydantic models: readable for ever, whatever rules for new input came since."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

ModelT = TypeVar("ModelT", bound=BaseModel)


def as_stored(model: type[ModelT], values: Mapping[str, Any]) -> ModelT:
    """`values`, by alias or name, as `model`; where they break one of its rules, as they are.

    Raises:
        ValidationError: they are not even of the right types, or one is missing.
    """
    try:
        return model.model_validate(values)
    except ValidationError:
        found: dict[str, Any] = {}
        for name, info in model.model_fields.items():
            key = info.alias if info.alias and info.alias in values else name
            if key in values:
                found[name] = _as(info.annotation, values[key])
            elif info.is_required():
                raise
        return model.model_construct(**found)


def _as(annotation: Any, value: Any) -> Any:
    try:
        return TypeAdapter(annotation).validate_python(value)
    except ValidationError:
        if not isinstance(value, tuple(_kinds(annotation))):
            raise
    if isinstance(value, Mapping) and (model := _model_of(annotation, value)):
        return as_stored(model, value)
    if isinstance(value, list) and (origin := get_origin(annotation)) in {list, tuple}:
        return origin(_as(get_args(annotation)[0], item) for item in value)
    return value


def _kinds(annotation: Any) -> Iterator[type]:
    """The types that a stored value may be of."""
    origin = get_origin(annotation)
    if origin is Literal:
        yield from map(type, get_args(annotation))
    elif origin in {list, tuple}:
        yield list
    elif origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        yield dict
    elif isinstance(annotation, type):
        yield annotation
    else:
        for part in get_args(annotation):
            yield from _kinds(part)


def _model_of(annotation: Any, value: Mapping[str, Any]) -> type[BaseModel] | None:
    """The first model of a union whose tags are those of `value`."""
    return next((model for model in _models(annotation) if _has_tags_of(model, value)), None)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _has_tags_of(model: type[BaseModel], value: Mapping[str, Any]) -> bool:
    tags = {
        name: get_args(info.annotation)
        for name, info in model.model_fields.items()
        if get_origin(info.annotation) is Literal and len(get_args(info.annotation)) == 1
    }
    return all(value.get(name) in allowed for name, allowed in tags.items())
