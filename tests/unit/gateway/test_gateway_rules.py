"""The gateway's decisions without I/O: paths, routes, headers, merged documents, settings."""

from ipaddress import ip_network
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from pydantic import ValidationError

from gateway.documents import merge_openapi
from gateway.headers import client_ip, to_client, to_service
from gateway.paths import InvalidPathError, PathTree, segments_of
from gateway.routes import ROUTES, RouteTable
from gateway.settings import GatewaySettings

TABLE = RouteTable(ROUTES)
SEGMENT = st.text(min_size=1, max_size=12).filter(
    lambda text: text not in {".", ".."} and not any(c in "/\\" or ord(c) < 32 or ord(c) == 127 for c in text)
)


@given(st.lists(SEGMENT.filter(lambda text: text.isprintable()), min_size=1, max_size=5))
def test_encoded_segments_are_read_as_they_were_meant(segments: list[str]) -> None:
    target = "".join("/" + quote(segment, safe="") for segment in segments)
    if "/.." not in target and "/." not in target:
        assert segments_of(f"{target}?q=/../") == tuple(segments)


@given(st.text(max_size=40))
def test_what_passes_has_no_second_meaning(text: str) -> None:
    try:
        segments = segments_of("/" + text)
    except InvalidPathError:
        return
    assert all(segments[:-1])
    assert not {".", ".."} & set(segments)
    assert not any("/" in segment or "\\" in segment or "\x00" in segment for segment in segments)


@pytest.mark.parametrize(
    ("path", "service", "auth"),
    [
        ("/auth/login", "auth", "none"),
        ("/auth/change-password", "auth", "any"),
        ("/auth/logout", "auth", "any"),
        ("/user/generate-apikey", "auth", "any"),
        ("/.well-known/jwks.json", "auth", "none"),
        ("/project", "project", "any"),
        ("/project/active-agent/1", "project", "any"),
        ("/agent/1/versions", "project", "any"),
        ("/voices/1", "project", "any"),
        ("/phone-number/add-number", "project", "any"),
        ("/webhook/deliveries/1/replay", "project", "any"),
        ("/call/makeCall", "call", "any"),
        ("/call/1/events", "call", "any"),
        ("/batch/1/result.csv", "call", "any"),
        ("/events/ws", "call", "any"),
        ("/do-not-call/+12025550100", "call", "any"),
        ("/usage", "call", "any"),
        ("/auth/%6cogout", "auth", "any"),
    ],
)
def test_routes(path: str, service: str, auth: str) -> None:
    route = TABLE.match(segments_of(path))
    assert route is not None
    assert (route.service, route.auth) == (service, auth)


@pytest.mark.parametrize(
    "path", ["/", "/internal", "/internal/projects/1", "/callx", "/hubspot", "/.well-known/other", "/health"]
)
def test_what_no_service_has(path: str) -> None:
    assert TABLE.match(segments_of(path)) is None


def test_only_uploads_may_be_large() -> None:
    assert [route.pattern for route in ROUTES if route.is_upload] == [
        "/agent/{agent_id}/documents",
        "/call/batch-call",
    ]


def test_words_win_over_parameters_in_both_look_ups() -> None:
    tree: PathTree[str] = PathTree()
    for pattern in ("/call", "/call/{id}", "/call/web", "/call/{id}/events"):
        tree.add(pattern, pattern)
    assert tree.exact(["call", "web"]) == "/call/web"
    assert tree.exact(["call", "web", "events"]) == "/call/{id}/events"
    assert tree.exact(["call", "1", "nothing"]) is None
    assert tree.longest(["call", "1", "nothing"]) == "/call/{id}"
    assert tree.longest(["other"]) is None


def _headers(*pairs: tuple[str, str]) -> "CIMultiDictProxy[str]":
    return CIMultiDictProxy(CIMultiDict(pairs))


HOP_BY_HOP = ("Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade")


@pytest.mark.parametrize("rule", [lambda headers: to_service(headers, {}), to_client])
def test_hop_by_hop_headers_end_here(rule: Any) -> None:
    given_headers = _headers(*((name, "x-listed, Close") for name in HOP_BY_HOP), ("X-Listed", "1"), ("Accept", "a/b"))
    assert list(rule(given_headers).items()) == [("Accept", "a/b")]


def test_ours_replace_what_the_client_sent() -> None:
    sent = _headers(("x-internal-token", "forged"), ("X-REQUEST-ID", "theirs"), ("Accept", "a"), ("Accept", "b"))
    passed = to_service(sent, {"X-Internal-Token": "ours", "X-Request-Id": "checked"})
    assert passed.getall("X-Internal-Token") == ["ours"]
    assert passed.getall("X-Request-Id") == ["checked"]
    assert passed.getall("Accept") == ["a", "b"]


def test_several_cookies_pass_to_the_client_and_cors_of_the_service_does_not() -> None:
    passed = to_client(_headers(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Access-Control-Allow-Origin", "*")))
    assert list(passed.items()) == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1", "10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("", [], ""),
    ],
)
def test_client_ip(peer: str, forwarded_for: list[str], expected: str) -> None:
    assert client_ip(peer, forwarded_for, [ip_network("10.0.0.0/8")]) == expected


def _document(path: str, schema: Any, **others: Any) -> dict[str, Any]:
    operation = {"operationId": "read", "responses": {}, "schema": {"$ref": "#/components/schemas/Thing"}}
    return {
        "paths": {path: {"get": operation}},
        "components": {"schemas": {"Thing": schema, **others}, "securitySchemes": {}},
    }


def test_equal_schemas_are_one_and_operation_ids_unique() -> None:
    merged = merge_openapi({"auth": _document("/a", {"type": "object"}), "call": _document("/b", {"type": "object"})})
    assert list(merged["components"]["schemas"]) == ["Thing"]
    assert merged["paths"]["/a"]["get"]["operationId"] == "read"
    assert merged["paths"]["/b"]["get"]["operationId"] == "call_read"


def test_schemas_that_differ_get_their_services_name_also_when_it_is_deep_inside() -> None:
    holder = {"properties": {"thing": {"$ref": "#/components/schemas/Thing"}}}
    merged = merge_openapi(
        {
            "auth": _document("/a", {"type": "object"}, Holder=holder, Same={}),
            "call": _document("/b", {"type": "string"}, Holder=holder, Same={}),
        }
    )
    schemas = merged["components"]["schemas"]
    assert set(schemas) == {"Thing", "Holder", "Same", "CallThing", "CallHolder"}
    assert schemas["CallHolder"]["properties"]["thing"]["$ref"] == "#/components/schemas/CallThing"
    assert schemas["Holder"]["properties"]["thing"]["$ref"] == "#/components/schemas/Thing"
    assert merged["paths"]["/b"]["get"]["schema"]["$ref"] == "#/components/schemas/CallThing"


URLS = {"AUTH_URL": "http://a:1", "PROJECT_URL": "http://b:2/, http://c:3", "CALL_URL": "https://d"}


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {
        "INTERNAL_TOKEN_SECRET": "s" * 32,
        "TRUSTED_PROXIES": "10.0.0.0/8, ::1",
        "CORS_ORIGINS": "https://x.example",
    }
    for name, value in {**URLS, **extra}.items():
        monkeypatch.setenv(name, value)
    settings = GatewaySettings()
    assert settings.project_url == ("http://b:2", "http://c:3")
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert settings.cors_origins == ("https://x.example",)


@pytest.mark.parametrize("url", ["", "ftp://a", "nonsense", "http://a/path", "http://user:secret@a", "http://a, "])
def test_settings_refuse_what_is_no_origin(url: str) -> None:
    others = {name.lower(): value for name, value in URLS.items()}
    if url == "http://a, ":
        assert GatewaySettings(internal_token_secret="s" * 32, **others | {"auth_url": url}).auth_url == ("http://a",)
        return
    with pytest.raises(ValidationError) as refused:
        GatewaySettings(internal_token_secret="s" * 32, **others | {"auth_url": url})
    assert "auth_url" in str(refused.value)
    assert "secret" not in str(refused.value)
