"""`python -m deploy.api_snapshot`: writes docs/openapi.json and docs/asyncapi.json from the code of all services.

What clients rely on is in these two files: a change that would break one of them is refused unless --breaking is given.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from auth_service.app import build_app as build_auth
from auth_service.settings import AuthSettings
from call_service.app import build_app as build_call
from call_service.settings import CallApiSettings
from gateway.documents import merge_asyncapi, merge_openapi
from project_service.app import build_app as build_project
from project_service.settings import ProjectSettings
from shared.http import ASYNCAPI, OPENAPI

DOCS = Path(__file__).parents[1] / "docs"
COMMAND = "python -m deploy.api_snapshot"
# Nothing is connected to: only the documents of the applications are read.
_SETTINGS: Mapping[str, Any] = {
    "database_url": "postgresql://nobody@localhost/none",
    "internal_token_secret": "of no use, since nothing is signed",
    "encryption_key": "of no use, since nothing is encrypted",
}

Document = dict[str, Any]


def documents() -> dict[str, Document]:
    """The documents as the gateway shows them but for their examples, by file name."""
    apps: dict[str, web.Application] = {
        "auth": build_auth(AuthSettings(**_SETTINGS)),
        "project": build_project(ProjectSettings(**_SETTINGS)),
        "call": build_call(CallApiSettings(**_SETTINGS)),
    }
    return {
        "openapi.json": _bare(merge_openapi(_of(apps, OPENAPI))),
        "asyncapi.json": _bare(merge_asyncapi(_of(apps, ASYNCAPI))),
    }


def _of(apps: Mapping[str, web.Application], key: web.AppKey[Callable[[], Document]]) -> dict[str, Document]:
    return {name: app[key]() for name, app in apps.items()}


def _bare(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _bare(value) for key, value in node.items() if key not in {"example", "examples"}}
    return [_bare(item) for item in node] if isinstance(node, list) else node


def committed(name: str) -> Document:
    """The snapshot of a document; an empty one when there is none yet."""
    path = DOCS / name
    return dict(orjson.loads(path.read_bytes())) if path.exists() else {}


def breaking(old: Document, new: Document) -> list[str]:
    """What a client that relies on `old` would miss in `new`, a line each."""
    found = list(_operations(old, new))
    found += [f"event {name} is gone" for name in old.get("channels", {}).keys() - new.get("channels", {}).keys()]
    inputs = _reached(new, "requestBody")
    schemas = new.get("components", {}).get("schemas", {})
    for name, schema in old.get("components", {}).get("schemas", {}).items():
        if name in schemas:
            found += _schema(name, schema, schemas[name], is_input=name in inputs)
    return sorted(found)


def _operations(old: Document, new: Document) -> Iterator[str]:
    for path, methods in old.get("paths", {}).items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            later = new.get("paths", {}).get(path, {}).get(method)
            if later is None:
                yield f"{name} is gone"
                continue
            for status in operation["responses"].keys() - later["responses"].keys():
                yield f"{name} no longer documents status {status}"
            if operation.get("security") == [] and later.get("security"):
                yield f"{name} now needs credentials"
            yield from _parameters(name, operation, later)
            yield from _contents(name, operation, later)


def _parameters(name: str, old: Document, new: Document) -> Iterator[str]:
    before, after = ({one["name"]: one for one in operation.get("parameters", ())} for operation in (old, new))
    for parameter in before.keys() - after.keys():
        yield f"{name} no longer takes the parameter {parameter}"
    for parameter, one in after.items():
        if one.get("required") and not before.get(parameter, {}).get("required"):
            yield f"{name} now needs the parameter {parameter}"


def _contents(name: str, old: Document, new: Document) -> Iterator[str]:
    if new.get("requestBody") and not old.get("requestBody"):
        yield f"{name} now needs a body"
    parts = {"body": (old.get("requestBody", {}), new.get("requestBody", {}))}
    parts |= {status: (one, new["responses"].get(status, {})) for status, one in old["responses"].items()}
    for part, (before, after) in parts.items():
        for kind in before.get("content", {}).keys() - after.get("content", {}).keys():
            if after and "$ref" not in after:
                yield f"{name} no longer has {kind} as {part}"


def _reached(document: Document, start: str) -> set[str]:
    """The names of the schemas that are used, at any depth, below a key."""
    schemas = document.get("components", {}).get("schemas", {})
    reached: set[str] = set()
    pending = [
        operation.get(start, {}) for methods in document.get("paths", {}).values() for operation in methods.values()
    ]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            name = str(node.get("$ref", "")).rpartition("/")[2]
            if name in schemas and name not in reached:
                reached.add(name)
                pending.append(schemas[name])
            pending += node.values()
        elif isinstance(node, list):
            pending += node
    return reached


def _schema(name: str, old: Document, new: Document, *, is_input: bool) -> Iterator[str]:
    for value in _values(old) - _values(new):
        yield f"{name} no longer has the value {value}"
    before, after = old.get("properties", {}), new.get("properties", {})
    for field in before.keys() - after.keys():
        yield f"{name}.{field} is gone"
    required = set(new.get("required", ())) - set(old.get("required", ()))
    if is_input:
        for field in required:
            yield f"{name}.{field} is now required"
    else:
        for field in set(old.get("required", ())) - set(new.get("required", ())) & after.keys():
            yield f"{name}.{field} may now be missing"
    for field in before.keys() & after.keys():
        yield from _schema(f"{name}.{field}", before[field], after[field], is_input=is_input)
        if "type" in before[field] and "type" in after[field] and before[field]["type"] != after[field]["type"]:
            yield f"{name}.{field} is now of type {after[field]['type']}"


def _values(schema: Document) -> set[str]:
    constant = [schema["const"]] if "const" in schema else []
    return {str(value) for value in [*schema.get("enum", ()), *constant]}


def main() -> None:
    """Write both files, or say what would break."""
    new = documents()
    lost = [line for name, document in new.items() for line in breaking(committed(name), document)]
    if lost and "--breaking" not in sys.argv:
        sys.exit("\n".join(["This would break clients; pass --breaking if that is meant:", *lost]))
    for name, document in new.items():
        (DOCS / name).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))


if __name__ == "__main__":
    main()
