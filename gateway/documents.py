"""The services' OpenAPI documents: merged into one, and the source of the route patterns in logs and metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog

from gateway.paths import PathTree
from gateway.routes import Route
from shared.errors import ApiError, BadGatewayError, UnavailableError
from shared.openapi import VERSION

log = structlog.get_logger(__name__)

_SCHEMA_REF = "#/components/schemas/"

Document = Mapping[str, Any]
Fetch = Callable[[], Awaitable[tuple[int, Any]]]


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


def merge(documents: Mapping[str, Document]) -> dict[str, Any]:
    """One document of all services; where names collide, the later one gets its service's name in front."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    security: dict[str, Any] = {}
    taken_ids: set[str] = set()
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
                paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Talkstack", "version": VERSION},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": security},
    }


class Documents:
    """Fetches the documents in the background and keeps the latest of each service."""

    def __init__(self, fetch: Mapping[str, Fetch]) -> None:
        self._fetch = fetch
        self._documents: dict[str, Document] = {}
        self._merged: dict[str, Any] = {}
        self._patterns: PathTree[str] = PathTree()

    def pattern(self, route: Route, segments: Sequence[str]) -> str:
        """The pattern of a path, such as `/call/{id}/events`; of an unknown one what the route says."""
        return self._patterns.exact(segments) or f"{route.pattern}/…"

    def merged(self) -> dict[str, Any]:
        """Raises UnavailableError until every service has given its document."""
        missing = sorted(self._fetch.keys() - self._documents.keys())
        if missing:
            raise UnavailableError(f"The documents of these services are not there yet: {', '.join(missing)}.")
        return self._merged

    async def refresh(self) -> bool:
        """Fetch all documents; True when each came. A service that is away keeps its earlier one."""
        fetched = await asyncio.gather(*(self._fetched(name) for name in self._fetch))
        self._documents |= {name: document for name, document in zip(self._fetch, fetched, strict=True) if document}
        self._merged = merge({name: self._documents[name] for name in self._fetch if name in self._documents})
        patterns: PathTree[str] = PathTree()
        for path in self._merged["paths"]:
            patterns.add(path, path)
        self._patterns = patterns
        return all(fetched)

    async def _fetched(self, name: str) -> Document | None:
        try:
            status, document = await self._fetch[name]()
            if status != HTTPStatus.OK:
                raise BadGatewayError(f"It answered {status}.")
        except ApiError as error:
            log.info("document_not_fetched", upstream=name, cause=repr(error))
            return None
        return dict(document)
