"""What clients rely on does not change unnoticed; the documents are valid and readable."""

import copy
from html.parser import HTMLParser
from typing import Any

import pytest
from openapi_spec_validator import validate
from pydantic_asyncapi.v3 import AsyncAPI

from deploy.api_snapshot import COMMAND, breaking, committed, documents
from gateway.reference import page

NAMES = ("openapi.json", "asyncapi.json")


@pytest.fixture(scope="module")
def current() -> dict[str, dict[str, Any]]:
    return documents()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_clients_rely_on_is_gone(current: dict[str, Any], name: str) -> None:
    lost = breaking(committed(name), current[name])
    assert not lost, "\n".join([f"This breaks clients; if that is meant, run {COMMAND} --breaking:", *lost])


@pytest.mark.parametrize("name", NAMES)
def test_the_snapshot_is_up_to_date(current: dict[str, Any], name: str) -> None:
    assert committed(name) == current[name], f"docs/{name} is old: run {COMMAND}"


def test_the_asyncapi_document_is_valid(current: dict[str, Any]) -> None:
    document = copy.deepcopy(current["asyncapi.json"])
    for channel in document["channels"].values():
        # The package takes `is: exchange` for what the binding's specification 0.3.0 calls `routingKey`.
        assert channel.pop("bindings")["amqp"]["is"] == "routingKey"
    AsyncAPI.model_validate(document)
    assert {"call.ended", "call.turn", "project.deleted", "auth.session.revoked"} <= document["channels"].keys()


def test_the_openapi_document_is_valid(current: dict[str, Any]) -> None:
    validate(current["openapi.json"])


class Page(HTMLParser):
    """Every anchor and link; tags must be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        values = {name: value or "" for name, value in attrs}
        assert not values.keys() & {"src", "onclick"}
        if "id" in values:
            assert values["id"] not in self.ids
            self.ids.add(values["id"])
        if "href" in values:
            self.links.add(values["href"])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_every_operation_and_event_and_loads_nothing(current: dict[str, Any]) -> None:
    openapi, asyncapi = (current[name] for name in NAMES)
    for message in asyncapi["components"]["messages"].values():
        message["examples"] = [{"payload": {"said": "<script>"}}]
    html = page(openapi, asyncapi)
    parsed = Page()
    parsed.feed(html)
    assert parsed.open == []
    assert {link[1:] for link in parsed.links if link.startswith("#")} == parsed.ids
    assert {link for link in parsed.links if not link.startswith("#")} == {"/openapi.json", "/asyncapi.json"}
    for path, methods in openapi["paths"].items():
        assert path in parsed.text
        assert all(operation["summary"] in parsed.text for operation in methods.values())
    assert all(name in parsed.text for name in asyncapi["channels"])
    assert "<script" not in html


def _change(document: dict[str, Any], *path: str, to: Any = None, drop: bool = False) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    node = changed
    for key in path[:-1]:
        node = node[key]
    if drop:
        del node[path[-1]]
    else:
        node[path[-1]] = to
    return changed


OLD: dict[str, Any] = {
    "paths": {
        "/a": {
            "get": {
                "security": [],
                "parameters": [{"name": "limit", "in": "query"}],
                "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/x/Out"}}}}, "404": {}},
            },
            "post": {
                "security": [{"apiKey": []}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/x/In"}}}},
                "responses": {"200": {}},
            },
        }
    },
    "components": {
        "schemas": {
            "In": {"properties": {"name": {"type": "string"}}, "required": []},
            "Out": {
                "properties": {"id": {"type": "string"}, "status": {"enum": ["a", "b"]}},
                "required": ["id"],
            },
        }
    },
    "channels": {"call.ended": {}},
}
GET, SCHEMAS = ("paths", "/a", "get"), ("components", "schemas")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (_change(OLD, "paths", "/a", "get", drop=True), "GET /a is gone"),
        (_change(OLD, *GET, "responses", "404", drop=True), "GET /a no longer documents status 404"),
        (_change(OLD, *GET, "security", to=[{"apiKey": []}]), "GET /a now needs credentials"),
        (_change(OLD, *GET, "parameters", to=[]), "GET /a no longer takes the parameter limit"),
        (
            _change(OLD, *GET, "parameters", to=[{"name": "limit", "required": True}]),
            "GET /a now needs the parameter limit",
        ),
        (_change(OLD, *GET, "requestBody", to={"content": {}}), "GET /a now needs a body"),
        (
            _change(OLD, *GET, "responses", "200", "content", to={"text/plain": {}}),
            "GET /a no longer has application/json as 200",
        ),
        (_change(OLD, *SCHEMAS, "Out", "properties", "id", drop=True), "Out.id is gone"),
        (
            _change(OLD, *SCHEMAS, "Out", "properties", "status", "enum", to=["a"]),
            "Out.status no longer has the value b",
        ),
        (_change(OLD, *SCHEMAS, "Out", "properties", "id", "type", to="integer"), "Out.id is now of type integer"),
        (_change(OLD, *SCHEMAS, "Out", "required", to=[]), "Out.id may now be missing"),
        (_change(OLD, *SCHEMAS, "In", "required", to=["name"]), "In.name is now required"),
        (_change(OLD, "channels", to={}), "event call.ended is gone"),
    ],
)
def test_a_breaking_change_is_named(changed: dict[str, Any], said: str) -> None:
    assert said in breaking(OLD, changed)


def test_additions_break_nobody() -> None:
    larger = _change(OLD, "paths", "/b", to=OLD["paths"]["/a"])
    larger = _change(larger, *GET, "responses", "409", to={})
    larger = _change(larger, *SCHEMAS, "Out", "properties", "status", "enum", to=["a", "b", "c"])
    larger = _change(larger, *SCHEMAS, "In", "properties", "age", to={"type": "integer"})
    assert breaking(OLD, larger) == breaking(OLD, OLD) == []
