"""`/docs`: the OpenAPI and AsyncAPI documents as one page for people, without a script and without the internet."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import orjson
from aiohttp import web

Node = Mapping[str, Any]
_METHODS = ("get", "post", "put", "patch", "delete")


class Reference:
    """The page, made again only when a document is another one: that takes 7 ms."""

    def __init__(self) -> None:
        self._openapi: Node = {}
        self._asyncapi: Node = {}
        self._page = b""

    def response(self, openapi: Node, asyncapi: Node) -> web.Response:
        """Nothing on the page is loaded from elsewhere, which its policy says as well."""
        if openapi is not self._openapi or asyncapi is not self._asyncapi:
            self._openapi, self._asyncapi, self._page = openapi, asyncapi, page(openapi, asyncapi).encode()
        policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
        headers = {"Content-Security-Policy": policy}
        return web.Response(body=self._page, content_type="text/html", charset="utf-8", headers=headers)


REFERENCE = web.AppKey("reference", Reference)


@cache
def _style() -> str:
    return files("gateway").joinpath("reference.css").read_text()


def page(openapi: Node, asyncapi: Node) -> str:
    """The whole page."""
    by_tag: dict[str, list[tuple[str, str, Node]]] = defaultdict(list)
    for path, operations in openapi["paths"].items():
        for method in _METHODS:
            if operation := operations.get(method):
                by_tag[operation["tags"][0]].append((method, path, operation))
    schemas = openapi["components"]["schemas"]
    endpoints = "".join(
        f"<h2>{escape(tag)}</h2>" + "".join(_operation(*one, schemas) for one in group) for tag, group in by_tag.items()
    )
    messages = asyncapi["components"]["messages"]
    events = "".join(_event(name, message, asyncapi["components"]["schemas"]) for name, message in messages.items())
    links = "".join(f"<h4>{escape(tag)}</h4><ul>{''.join(map(_link, group))}</ul>" for tag, group in by_tag.items())
    event_links = "".join(f'<li><a href="#{_anchor(name)}">{escape(name)}</a></li>' for name in messages)
    title = escape(f"{openapi['info']['title']} {openapi['info']['version']}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_style()}</style></head><body>'
        f"<nav><b>{title}</b>{links}<h4>Events</h4><ul>{event_links}</ul></nav><main><h1>{title}</h1>"
        '<p>For programs: <a href="/openapi.json">OpenAPI</a>, <a href="/asyncapi.json">AsyncAPI</a>. Credentials go '
        "into <code>Authorization: Bearer …</code> or <code>x-api-key: …</code>.</p>"
        f"{endpoints}<h2>Events</h2>{events}</main></body></html>"
    )


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _link(endpoint: tuple[str, str, Node]) -> str:
    method, path, _ = endpoint
    return f'<li><a href="#{_anchor(f"{method} {path}")}">{method.upper()} {escape(path)}</a></li>'


def _operation(method: str, path: str, operation: Node, schemas: Node) -> str:
    credentials = " or ".join(name for one in operation["security"] for name in one) or "none"
    scopes = {scope for one in operation["security"] for names in one.values() for scope in names}
    needed = f"{credentials}; scope {', '.join(sorted(scopes))}" if scopes else credentials
    return (
        f'<article id="{_anchor(f"{method} {path}")}"><h3><b class="method">{method.upper()}</b> {escape(path)}</h3>'
        f"<p>{escape(operation['summary'])}</p><p>Credentials: {escape(needed)}</p>"
        f"{_parameters(operation.get('parameters', ()))}{_content('Body', operation.get('requestBody', {}), schemas)}"
        f"{''.join(_answer(status, answer, schemas) for status, answer in sorted(operation['responses'].items()))}"
        "</article>"
    )


def _parameters(parameters: Any) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}</td>"
        f"<td>{'required' if one.get('required') else ''}</td><td>{escape(_kind(one['schema']))}</td></tr>"
        for one in parameters
    )
    return f"<table><tr><th>parameter</th><th>in</th><th></th><th>type</th></tr>{rows}</table>" if rows else ""


def _answer(status: str, answer: Node, schemas: Node) -> str:
    if "$ref" in answer:
        return ""
    return _content(f"{status} {answer['description']}", answer, schemas)


def _content(title: str, holder: Node, schemas: Node) -> str:
    if not holder:
        return ""
    parts = "".join(
        f"<p><code>{escape(kind)}</code></p>{_fields(content.get('schema', {}), schemas)}{''.join(_examples(content))}"
        for kind, content in holder.get("content", {}).items()
    )
    return f"<details><summary>{escape(title)}</summary>{parts}</details>"


def _examples(content: Node) -> Iterator[str]:
    values = [one["value"] for one in content.get("examples", {}).values()]
    for value in [content["example"], *values] if "example" in content else values:
        yield f"<pre>{escape(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())}</pre>"


def _fields(schema: Node, schemas: Node) -> str:
    schema = schema.get("items", schema)
    described = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
    required = described.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{'required' if name in required else ''}</td>"
        f"<td>{escape(_kind(one))}</td><td>{escape(one.get('description', ''))}</td></tr>"
        for name, one in described.get("properties", {}).items()
    )
    return f"<p>{escape(described.get('description', ''))}</p><table>{rows}</table>" if rows else ""


def _kind(schema: Node) -> str:
    """A type in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type", "anything"))


def _event(name: str, message: Node, schemas: Node) -> str:
    data = message["payload"]["allOf"][1]["properties"]["data"]
    example = {"example": message["examples"][0]["payload"]}
    return (
        f'<article id="{_anchor(name)}"><h3>{escape(name)}</h3><p>{escape(message["summary"])}</p>'
        f"<details><summary>Data</summary>{_fields(data, schemas)}{''.join(_examples(example))}</details></article>"
    )
