"""The OpenAPI document against the running stack: what it says is what happens, for whatever is sent."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import hypothesis
import jsonschema
import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from deploy.local.stack import Stack
from shared.amqp import AmqpBus
from shared.events import Event
from shared.testing.waiting import eventually
from tests.support.customers import Customer, new_customer, sign_up

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

EXAMPLES = 20
UNKNOWN = "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# They end the session that the other requests need; a customer of their own is sent through them.
ENDS_SESSIONS = {"POST /auth/logout", "DELETE /user/sessions", "DELETE /user/sessions/{id}"}
# Streams without an end.
STREAMS = {"GET /events", "GET /events/ws", "GET /call/{call_id}/events", "GET /call/{call_id}/listen"}
FIELDS = {
    **dict.fromkeys(("projectId", "project_id"), "project"),
    **dict.fromkeys(("agentId", "active_agent"), "agent"),
    **dict.fromkeys(("sid", "callSid", "call_id", "callId"), "call"),
    "phoneNumberId": "phone_number",
    "batch_id": "batch",
    "deliveryId": "delivery",
}


@dataclass
class World:
    """A customer with one of everything, a stranger, and the document."""

    url: str
    document: dict[str, Any]
    owner: Customer
    stranger: Customer
    ids: dict[str, str] = field(default_factory=dict)

    def operations(self) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        """Name, method, path and description of each."""
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield f"{method.upper()} {path}", method.upper(), path, operation


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(stack: Stack) -> AsyncIterator[World]:
    async with aiohttp.ClientSession() as session:

        async def document() -> dict[str, Any] | None:
            async with session.get(f"{stack.url()}/openapi.json") as answer:
                return await answer.json() if answer.status == 200 else None

        async def is_there() -> bool:
            return await document() is not None

        await eventually(is_there)
        found = World(
            stack.url(),
            await document() or {},
            await new_customer(stack, session),
            await sign_up(stack, session),
        )
        await _furnish(found)
        yield found


async def _furnish(world: World) -> None:
    owner, ask = world.owner, world.owner.api.ask
    numbers = (await ask("GET", "/phone-number"))["data"]
    key = await ask("POST", "/user/api-keys", {"name": "of the test", "scopes": ["calls:read"]})
    sessions = (await ask("GET", "/user/sessions"))["data"]
    call_id = await owner.call("+12025550101")
    await owner.follow(call_id)
    batch_id = await _batch(world)
    world.ids = {
        "project": owner.project_id,
        "agent": owner.agent_id,
        "phone_number": numbers[0]["id"],
        "call": call_id,
        "batch": batch_id,
        "api_key": key["id"] if "id" in key else key["data"]["id"],
        "session": sessions[0]["id"],
        "delivery": UNKNOWN,
    }


async def _batch(world: World) -> str:
    form = aiohttp.FormData({"projectId": world.owner.project_id, "agentId": world.owner.agent_id})
    form.add_field("file", b"number\n+12025550101\n", filename="numbers.csv", content_type="text/csv")
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {world.owner.api.token}"}) as session,
        session.post(f"{world.url}/call/batch-call", data=form) as answer,
    ):
        body = await answer.json()
        assert answer.status == 200, body
        return str(body["batch"]["id"])


def _id_for(path: str, name: str, ids: Mapping[str, str]) -> str | None:
    """The id that a parameter of a path, or a field of a body, stands for; None when it is no id of a customer."""
    kind = FIELDS.get(name)
    if name == "id":
        kind = "api_key" if "api-keys" in path else "session"
    return ids[kind] if kind else None


def _filled(path: str, ids: Mapping[str, str], default: str = UNKNOWN) -> str:
    return re.sub(r"{(\w+)}", lambda match: _id_for(path, match[1], ids) or default, path)


def _cases(operation: Any) -> hypothesis.strategies.SearchStrategy[Any]:
    """Requests as documented; where there is something to do wrong, others as well."""
    valid = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if not (operation.query or operation.path_parameters or operation.body):
        return valid
    return valid | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)


def _fuzz(world: World, operation: Any, token: str) -> None:
    name = f"{operation.method.upper()} {operation.path}"

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=_cases(operation), is_known=hypothesis.strategies.booleans())
    def check(case: Any, is_known: bool) -> None:
        if is_known:
            for values in (case.path_parameters, case.query, case.body):
                if isinstance(values, dict):
                    values |= {
                        key: known for key in values if (known := _id_for(operation.path, key, world.ids)) is not None
                    }
        headers = {"Authorization": f"Bearer {token}"} if operation.definition.raw.get("security") else {}
        try:
            answer = case.call(base_url=world.url, headers=headers, timeout=20)
        except UnicodeError:
            return  # this client can't send it
        case.validate_response(answer, checks=CHECKS)

    try:
        check()
    except Exception as error:
        raise AssertionError(f"{name}: {error}") from error


async def test_every_answer_is_as_documented_and_none_is_a_failure_of_ours(
    stack: Stack, session: aiohttp.ClientSession, world: World
) -> None:
    schema = schemathesis.openapi.from_dict(world.document)
    wrong: list[str] = []
    leaver = await sign_up(stack, session)
    # Deleting what the others need comes last.
    operations = sorted((one.ok() for one in schema.get_all_operations()), key=lambda one: one.method == "delete")
    for operation in operations:
        name = f"{operation.method.upper()} {operation.path}"
        if name in STREAMS:
            continue
        token = leaver.api.token if name in ENDS_SESSIONS else world.owner.api.token
        try:
            await asyncio.to_thread(_fuzz, world, operation, str(token))
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n\n".join(wrong)


def _request(path: str, operation: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    """The documented example of an operation with these ids in it."""
    body = operation.get("requestBody", {}).get("content", {})
    query = {
        one["name"]: _id_for(path, one["name"], ids) or one.get("example") or "2026-11-01T00:00:00Z"
        for one in operation.get("parameters", ())
        if one["in"] == "query" and one.get("required")
    }
    if "multipart/form-data" in body:
        form = aiohttp.FormData({"projectId": ids["project"], "agentId": ids["agent"]})
        form.add_field("file", b"number\n+12025550101\n", filename="numbers.csv", content_type="text/csv")
        return {"data": form, "params": query}
    if "application/json" not in body:
        return {"params": query}
    example = dict(body["application/json"]["example"])
    return {
        "json": {name: _id_for(path, name, ids) or value for name, value in example.items()},
        "params": query,
    }


async def _statuses(world: World, token: str | None, *, only: Any, path_of: Any) -> dict[str, int]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    found: dict[str, int] = {}
    async with aiohttp.ClientSession(headers=headers) as client:
        for name, method, path, operation in world.operations():
            if only(name, path, operation):
                request = _request(path, operation, world.ids)
                async with client.request(method, world.url + path_of(path), **request) as answer:
                    found[name] = answer.status
    return found


async def test_without_credentials_every_operation_that_wants_some_is_401(world: World) -> None:
    def wants_credentials(_name: str, _path: str, operation: Mapping[str, Any]) -> bool:
        return bool(operation["security"])

    found = await _statuses(
        world, None, only=wants_credentials, path_of=lambda path: _filled(path, world.ids, "+12025550100")
    )
    assert len(found) > 50
    assert {name: status for name, status in found.items() if status != 401} == {}


async def test_another_customers_ids_are_as_unknown_ones_to_every_operation(world: World) -> None:
    """Including lists filtered by a project: they may say nothing of it, or that it does not exist."""

    def names_something(name: str, path: str, operation: Mapping[str, Any]) -> bool:
        request = _request(path, operation, dict.fromkeys(world.ids, "MARK"))
        named = "MARK" in _filled(path, dict.fromkeys(world.ids, "MARK")) or "MARK" in json.dumps(
            request.get("json", {})
        )
        return bool(operation["security"]) and (named or "data" in request)

    found = await _statuses(
        world,
        world.stranger.api.token,
        only=names_something,
        path_of=lambda path: _filled(path, world.ids, UNKNOWN),
    )
    assert len(found) > 25
    assert {name: status for name, status in found.items() if status not in {400, 404}} == {}


async def test_events_are_as_the_asyncapi_document_says(stack: Stack, session: aiohttp.ClientSession) -> None:
    """All events of a customer who does a bit of everything; validated against the document the gateway shows."""
    async with session.get(f"{stack.url()}/asyncapi.json") as answer:
        document = await answer.json()
    seen: list[Event] = []

    async def keep(event: Event) -> None:
        seen.append(event)

    assert stack.amqp_url is not None
    bus = await AmqpBus.connect(stack.amqp_url)
    try:
        await bus.subscribe("asyncapi-check", ["#"], keep, expires_seconds=60)
        customer = await new_customer(stack, session)
        ask = customer.api.ask
        await customer.follow(await customer.call("+12025550101"))
        await ask("GET", "/user/generate-apikey")
        await ask("GET", "/user/generate-apikey")
        await ask("PUT", f"/project/{customer.project_id}", {"name": "Other"})
        await ask("DELETE", f"/project/{customer.project_id}", {"cascade": True})
        wanted = {"call.queued", "call.completed", "auth.api_key.revoked", "agent.created", "project.deleted"}
        await eventually(lambda: wanted <= {event.type for event in seen})
    finally:
        await bus.close()
    for event in seen:
        message = document["components"]["messages"][event.type]
        schema = {**message["payload"], "components": document["components"]}
        jsonschema.validate(json.loads(event.to_bytes()), schema)
