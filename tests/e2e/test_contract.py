"""What the public contract promises, over HTTP through the gateway."""

import io
import json
from typing import Any

import aiohttp
import pytest
from openapi_spec_validator import validate

from deploy.local.stack import Stack
from tests.support.customers import new_customer, sign_up

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

JSON = {"Content-Type": "application/json"}
UNKNOWN = "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f"


async def test_updating_a_project_is_as_in_the_reference(stack: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(stack, session)
    path = f"/project/{customer.project_id}"
    body = {"name": "Renamed", "description": "New text", "webhookUrl": "http://127.0.0.1:9/hook"}
    status, answer = await customer.api.try_ask("PUT", path, body)
    assert status == 200
    assert (answer["message"], answer["status"]) == ("successfully updated project info.", "success")
    data = answer["data"]
    assert (data["id"], data["name"], data["description"]) == (customer.project_id, "Renamed", "New text")
    assert data["call_status_webhook"] == "http://127.0.0.1:9/hook"
    assert set(data) == {
        "id",
        "name",
        "user_id",
        "status",
        "description",
        "is_deleted",
        "call_status_webhook",
        "active_agent",
        "created_at",
        "updated_at",
    }
    assert (await customer.api.ask("GET", path))["data"] == data

    assert (await customer.api.try_ask("PUT", path, {}))[0] == 400
    assert (await customer.api.try_ask("PUT", path, {"name": ""}))[0] == 400
    assert (await customer.api.try_ask("PUT", path, {"name": "x", "webhookUrl": "ftp://x"}))[0] == 400
    assert (await customer.api.try_ask("PUT", f"/project/{UNKNOWN}", body))[0] == 404
    stranger = await sign_up(stack, session)
    assert (await stranger.api.try_ask("PUT", path, body))[0] == 404
    customer.api.token = None
    assert (await customer.api.try_ask("PUT", path, body))[0] == 401


async def send(session: aiohttp.ClientSession, url: str, token: str | None, **request: Any) -> tuple[int, Any, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with session.post(url, headers={**headers, **request.pop("headers", {})}, **request) as response:
        return response.status, json.loads(await response.read()), response.headers


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"data": b"{", "headers": JSON}, 400, "malformed_json"),
        ({"data": b"[1]", "headers": JSON}, 400, "malformed_json"),
        ({"data": b"number=1", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 415, None),
        ({"data": io.BytesIO(b'"' + b"x" * 2_000_000 + b'"'), "headers": JSON}, 413, "body_too_large"),
        ({"json": {}}, 400, "invalid_request"),
        ({"json": {"number": "0151 12345", "projectId": UNKNOWN}}, 400, "invalid_request"),
        ({"json": {"number": "+12025550100", "projectId": UNKNOWN}}, 404, "project_not_found"),
    ],
)
async def test_bad_input_is_named_in_the_envelope(
    stack: Stack, session: aiohttp.ClientSession, request_: dict[str, Any], status: int, code: str | None
) -> None:
    customer = await sign_up(stack, session)
    got, answer, headers = await send(session, f"{stack.url()}/call/makeCall", customer.api.token, **request_)
    assert got == status
    assert answer["status"] == "error"
    assert code is None or answer["code"] == code
    assert answer["request_id"] == headers["X-Request-Id"]


async def test_an_api_key_works_like_a_token_except_where_a_token_is_asked_for(
    stack: Stack, session: aiohttp.ClientSession
) -> None:
    customer = await sign_up(stack, session)
    key = (await customer.api.ask("GET", "/user/generate-apikey"))["apiKey"]
    for headers, status in [({"x-api-key": key}, 200), ({"x-api-key": key[:-1] + "x"}, 401), ({}, 401)]:
        async with session.get(f"{stack.url()}/project", headers=headers) as response:
            assert response.status == status
    async with session.get(f"{stack.url()}/user/generate-apikey", headers={"x-api-key": key}) as response:
        assert response.status == 401


async def test_errors_come_as_problem_details_on_request(stack: Stack, session: aiohttp.ClientSession) -> None:
    for path in ("/project", "/nowhere"):
        async with session.get(stack.url() + path, headers={"Accept": "application/problem+json"}) as response:
            assert response.content_type == "application/problem+json"
            assert (await response.json(content_type=None))["status"] == response.status


async def test_the_openapi_document_is_valid_and_complete(stack: Stack, session: aiohttp.ClientSession) -> None:
    async with session.get(f"{stack.url()}/openapi.json") as response:
        document = await response.json()
    validate(document)
    operations = {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    assert {
        "POST /auth/signup",
        "POST /auth/verify-email",
        "POST /auth/resend-code",
        "POST /auth/login",
        "POST /auth/refresh-token",
        "GET /user/generate-apikey",
        "POST /project/create-project",
        "GET /project",
        "GET /project/{projectId}",
        "PUT /project/{projectId}",
        "POST /project/call-status/add-webhookurl",
        "POST /agent/create-agent",
        "POST /agent",
        "PUT /agent",
        "GET /voices",
        "POST /phone-number/add-number",
        "POST /call/makeCall",
        "POST /call",
        "POST /call/get-call-history",
        "POST /call/analysis",
    } <= set(operations)
    for name, operation in operations.items():
        assert operation["summary"], name
        for status, answer in operation["responses"].items():
            for kind, content in answer.get("content", {}).items():
                if kind == "application/json":
                    assert content.get("example") or content.get("examples"), f"{name} {status}"
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        assert body is None or body.get("example"), name


async def test_every_process_is_alive_and_ready(stack: Stack, session: aiohttp.ClientSession) -> None:
    for name, keeper in stack.keepers.items():
        if name in {"postgres", "rabbitmq", "epmd"}:
            continue
        for path in ("/health/live", "/health/ready", "/metrics"):
            async with session.get(f"http://127.0.0.1:{keeper.unit.port}{path}") as response:
                assert response.status == 200, f"{name} {path}"
