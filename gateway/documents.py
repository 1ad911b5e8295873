"""The services' OpenAPI and AsyncAPI documents, each kind merged into one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog

from gateway.errors import HeadTooLargeError, MalformedRequestError, SlowRequestError
from gateway.limits import RateLimitedError
from gateway.paths import PathTree
from gateway.routes import Route
from shared.envelope import error_body
from shared.errors import ApiError, BadGatewayError, GatewayTimeoutError, UnavailableError
from shared.openapi import EXAMPLE_REQUEST_ID, VERSION

log = structlog.get_logger(__name__)

_OWN_ERRORS: tuple[type[ApiError], ...] = (
    MalformedRequestError,
    SlowRequestError,
    RateLimitedError,
    HeadTooLargeError,
    BadGatewayError,
    UnavailableError,
    GatewayTimeoutError,
)
_SCHEMA_REF = "#/components/schemas/"

Document = Mapping[str, Any]
Fetch = Callable[[], Awaitable[tuple[int, Any]]]
Merge = Callable[[Mapping[str, Document]], dict[str, Any]]


def _with_names(node: Any, names: Mapping[str, str]) -> Any:
    """A copy of `node` whose references follow schemas to their new names."""
    if isinstance(node, dict):
        return {
            key: _reference(value, names) if key == "$ref" else _with_names(value, names) for key, value in node.items()
        }
    return [_with_names(item, names) for item in node] if isinstance(node, list) else node


def _reference(target: str, names: Mapping[str, str]) -> str:
    name = target.removeprefix(_SCHEMA_REF)
    return _SCHEMA_REF + names[name] if name in names else target


def _new_names(service: str, own: Mapping[str, Any], taken: Mapping[str, Any]) -> dict[str, str]:
    """New names for schemas that differ from another service's of the same name, by themselves or in what they use."""
    names: dict[str, str] = {}
    while True:
        differing = [name for name in own if name in taken and taken[name] != _with_names(own[name], names)]
        if len(differing) == len(names):
            return names
        names = {name: service.title() + name for name in differing}


def _own_responses() -> dict[str, Any]:
    """What the gateway itself may answer to any operation, by status."""
    return {
        str(error.status): {
            "description": error.default_message(),
            "content": {
                "application/json": {
                    "schema": {"$ref": f"{_SCHEMA_REF}Error"},
                    "example": error_body(error(), EXAMPLE_REQUEST_ID),
                }
            },
        }
        for error in _OWN_ERRORS
    }


def merge_openapi(documents: Mapping[str, Document]) -> dict[str, Any]:
    """One document of all services; where names collide, the later one gets its service's name in front."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    security: dict[str, Any] = {}
    taken_ids: set[str] = set()
    own_references = {status: {"$ref": f"#/components/responses/{status}"} for status in _own_responses()}
    for service, document in documents.items():
        own = document["components"]["schemas"]
        names = _new_names(service, own, schemas)
        schemas |= {names.get(name, name): _with_names(schema, names) for name, schema in own.items()}
        security |= document["components"]["securitySchemes"]
        for path, operations in document["paths"].items():
            for method, operation in _with_names(operations, names).items():
                if operation["operationId"] in taken_ids:
                    operation["operationId"] = f"{service}_{operation['operationId']}"
                taken_ids.add(operation["operationId"])
                operation["responses"] = own_references | operation["responses"]
                paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Talkstack", "version": VERSION},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": security, "responses": _own_responses()},
    }


def merge_asyncapi(documents: Mapping[str, Document]) -> dict[str, Any]:
    """One document of the events of all services, whose types are unique; schemas as in `merge_openapi`."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    servers: dict[str, Any] = {}
    for service, document in documents.items():
        own = document["components"]["schemas"]
        names = _new_names(service, own, schemas)
        schemas |= {names.get(name, name): _with_names(schema, names) for name, schema in own.items()}
        messages |= _with_names(document["components"]["messages"], names)
        channels |= document["channels"]
        operations |= document["operations"]
        servers |= document["servers"]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Talkstack events", "version": VERSION},
        "defaultContentType": "application/json",
        "servers": servers,
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


class Documents:
    """Fetches the documents of one kind in the background and keeps the latest of each service."""

    def __init__(self, fetch: Mapping[str, Fetch], merge: Merge) -> None:
        self._fetch = fetch
        self._merge = merge
        self._documents: dict[str, Document] = {}
        self._merged: dict[str, Any] = {}

    def merged(self) -> dict[str, Any]:
        """Raises UnavailableError until every service has given its document."""
        missing = sorted(self._fetch.keys() - self._documents.keys())
        if missing:
            raise UnavailableError(f"The documents of these services are not there yet: {', '.join(missing)}.")
        return self._merged

    async def refresh(self) -> bool:
        """Fetch all documents; True when each came. A service that is away keeps its earlier one."""
        fetched = await asyncio.gather(*(self._fetched(name) for name in self._fetch))
        changed = {name: document for name, document in zip(self._fetch, fetched, strict=True) if document}
        if any(self._documents.get(name) != document for name, document in changed.items()):
            self._documents |= changed
            self._use(self._merge({name: self._documents[name] for name in self._fetch if name in self._documents}))
        return all(fetched)

    def _use(self, merged: dict[str, Any]) -> None:
        self._merged = merged

    async def _fetched(self, name: str) -> Document | None:
        try:
            status, document = await self._fetch[name]()
            if status != HTTPStatus.OK:
                raise BadGatewayError(f"It answered {status}.")
        except ApiError as error:
            log.info("document_not_fetched", upstream=name, cause=repr(error))
            return None
        return dict(document)


class OpenApi(Documents):
    """The source of the route patterns in logs and metrics as well."""

    def __init__(self, fetch: Mapping[str, Fetch]) -> None:
        super().__init__(fetch, merge_openapi)
        self._patterns: PathTree[str] = PathTree()

    def pattern(self, route: Route, segments: Sequence[str]) -> str:
        """The pattern of a path, such as `/call/{id}/events`; of an unknown one what the route says."""
        return self._patterns.exact(segments) or f"{route.pattern}/…"

    def _use(self, merged: dict[str, Any]) -> None:
        super()._use(merged)
        self._patterns = PathTree()
        for path in merged["paths"]:
            self._patterns.add(path, path)
