"""What the endpoints of all services promise: one scope for each, and an Idempotency-Key where something is created."""

import importlib
from pathlib import Path

import pytest

from shared import idempotency
from shared.endpoints import Context, Endpoint, Router
from shared.openapi import describe
from shared.scopes import InsufficientScopeError, Scope, require

ROOT = Path(__file__).parents[3]
CREATING = {
    "/auth/signup",
    "/user/api-keys",
    "/project/create-project",
    "/project/call-status/add-webhookurl",
    "/agent/create-agent",
    "/phone-number/add-number",
    "/webhook/deliveries/{deliveryId}/replay",
    "/webhook/replay",
    "/webhook/test",
    "/webhook/rotate-secret",
    "/call/makeCall",
}


def _endpoints() -> list[Endpoint]:
    files = sorted(ROOT.glob("*_service/*/routes.py"))
    modules = [importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts)) for file in files]
    return [endpoint for module in modules for endpoint in module.router.endpoints]


def test_every_endpoint_that_takes_api_keys_asks_for_one_scope_and_no_other_does() -> None:
    endpoints = _endpoints()
    assert len(endpoints) > 40
    for endpoint in endpoints:
        if endpoint.auth == "any":
            assert endpoint.scope not in {None, Scope.EVERYTHING}, endpoint.path
        else:
            assert endpoint.scope is None, endpoint.path


def test_reading_asks_for_read_and_changing_for_write() -> None:
    for endpoint in _endpoints():
        if endpoint.scope is not None and endpoint.method != "POST":
            assert endpoint.scope.endswith(":read") == (endpoint.method == "GET"), (endpoint.method, endpoint.path)


def test_every_scope_opens_something() -> None:
    assert {endpoint.scope for endpoint in _endpoints()} == {*Scope, None} - {Scope.EVERYTHING}


def test_what_creates_takes_an_idempotency_key() -> None:
    posts = {endpoint.path: endpoint for endpoint in _endpoints() if endpoint.method == "POST"}
    assert {path for path, endpoint in posts.items() if endpoint.idempotent} >= CREATING
    assert all(posts[path].idempotent for path in posts if posts[path].status == 201)


@pytest.mark.parametrize(
    ("scopes", "is_granted"),
    [(("*",), True), (("calls:write",), True), (("calls:read", "projects:write"), False), ((), False), (("",), False)],
)
def test_a_scope_is_granted_by_itself_or_by_everything(scopes: tuple[str, ...], is_granted: bool) -> None:
    if is_granted:
        require(Scope.CALLS_WRITE, scopes)
        return
    with pytest.raises(InsufficientScopeError, match="calls:write") as caught:
        require(Scope.CALLS_WRITE, scopes)
    assert (caught.value.status, caught.value.code) == (403, "insufficient_scope")
    assert 'scope="calls:write"' in caught.value.headers["WWW-Authenticate"]


def test_the_document_shows_scope_and_key_with_their_errors() -> None:
    router = Router("Things")

    @router.add("POST", "/thing", scope=Scope.CALLS_WRITE, idempotent=True)
    async def make_thing(_ctx: Context[None]) -> None:
        """Make a thing."""

    operation = describe(router.endpoints, "test")["paths"]["/thing"]["post"]
    assert operation["security"] == [{"accessToken": []}, {"apiKey": ["calls:write"]}]
    [parameter] = operation["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == (idempotency.HEADER, "header", False)
    codes = {
        code: status
        for status, response in operation["responses"].items()
        for code in response.get("content", {}).get("application/json", {}).get("examples", {})
    }
    assert codes == {
        "unauthorized": "401",
        "insufficient_scope": "403",
        "invalid_idempotency_key": "400",
        "idempotency_key_reused": "422",
        "idempotency_in_progress": "409",
    }
