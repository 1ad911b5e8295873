"""The AsyncAPI 3 document of a service's events (https://www.asyncapi.com/docs/reference/specification/v3.0.0)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.bus import EXCHANGE
from shared.events import Event
from shared.openapi import VERSION, example_of

_SCHEMA_REF = "#/components/schemas/{model}"
_EXAMPLE = {
    "id": "01a21075-0b6f-7a10-8f6e-0c5d6f0a9b11",
    "time": "2026-11-25T09:00:31.480Z",
    "subject": "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f",
    "tenant": "0192f0c1-3333-7c44-9f3e-1b2a4c5d6e7f",
    "project_id": "0192f0c1-1111-7c44-9f3e-1b2a4c5d6e7f",
    "sequence": 7,
}


@dataclass(frozen=True, slots=True)
class EventType:
    """One type of event: its name, its `data`, and a sentence on when it happens."""

    name: str
    data: type[BaseModel]
    summary: str


def _message(event: EventType, source: str) -> dict[str, Any]:
    own = {
        "type": "object",
        "properties": {"type": {"const": event.name}, "data": {"$ref": _SCHEMA_REF.format(model=event.data.__name__)}},
    }
    example = {**_EXAMPLE, "type": event.name, "source": source, "data": example_of(event.data) or {}}
    return {
        "name": event.name,
        "title": event.name,
        "summary": event.summary,
        "contentType": "application/json",
        "payload": {"allOf": [{"$ref": _SCHEMA_REF.format(model="Event")}, own]},
        "examples": [{"payload": example}],
    }


def _channel(event: EventType) -> dict[str, Any]:
    exchange = {"name": EXCHANGE, "type": "topic", "durable": True, "autoDelete": False, "vhost": "/"}
    return {
        "address": event.name,
        "messages": {event.name: {"$ref": f"#/components/messages/{event.name}"}},
        "bindings": {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0"}},
    }


def _operation(event: EventType) -> dict[str, Any]:
    return {
        "action": "send",
        "summary": event.summary,
        "channel": {"$ref": f"#/channels/{event.name}"},
        "messages": [{"$ref": f"#/channels/{event.name}/messages/{event.name}"}],
    }


def describe(events: Sequence[EventType], title: str) -> dict[str, Any]:
    """The document of what one service publishes."""
    models: set[type[BaseModel]] = {Event, *(event.data for event in events)}
    _, definitions = models_json_schema(
        [(model, "serialization") for model in sorted(models, key=lambda model: model.__name__)],
        ref_template=_SCHEMA_REF,
    )
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": VERSION},
        "defaultContentType": "application/json",
        "servers": {"broker": {"host": "localhost:5672", "protocol": "amqp", "protocolVersion": "0.9.1"}},
        "channels": {event.name: _channel(event) for event in events},
        "operations": {event.name: _operation(event) for event in events},
        "components": {
            "messages": {event.name: _message(event, title) for event in events},
            "schemas": definitions.get("$defs", {}),
        },
    }
