"""Tokens that open one stream for a client that can't send headers: what they are for, once, and for a minute."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from call_service.events import repository
from call_service.events.tokens import LIFETIME, asked
from shared.clock import SystemClock
from shared.db import Database
from shared.tokens import HEADER, InternalTokens, Principal
from tests.support.calls import SECRET, Customer, FakeProjects
from tests.support.workers import queue

CALL, PROJECT, OTHER = (f"0192f0c1-7d3a-7c44-9f3e-{number:012}" for number in range(3))
Service = TestClient[web.Request, web.Application]


@pytest.fixture(autouse=True)
async def hers(db: Database, projects: FakeProjects) -> None:
    """The customer has this call and this project."""
    projects.project_id = PROJECT
    call_id = await queue(db, tenant=projects.tenant, project_id=PROJECT)
    await db.execute("UPDATE calls SET id = $1 WHERE id = $2", CALL, call_id)


async def token_for(customer: Customer, **bounds: str) -> str:
    status, answer = await customer.ask("POST", "/events/token", bounds)
    assert (status, answer["expiresIn"]) == (200, 60)
    return str(answer["token"])


async def redeem(client: Service, token: str, target: str, *, by: Principal | None = None) -> tuple[int, Any]:
    """As the gateway does."""
    signer = InternalTokens(SECRET, "gateway", SystemClock().now)
    headers = {HEADER: signer.sign(by or Principal("gateway", "service"))}
    body = {"token": token, "target": target}
    async with client.post("/internal/events/redeem-token", json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_a_token_opens_one_stream_once_for_its_customer(client: Service, customer: Customer) -> None:
    token = await token_for(customer)
    answers = await asyncio.gather(*(redeem(client, token, "/events?types=call.ended") for _ in range(5)))
    assert sorted(status for status, _ in answers) == [200, 404, 404, 404, 404]
    [owner] = [body for status, body in answers if status == 200]
    assert owner == {"user_id": customer.tenant, "credential": "token", "session_id": None, "key_sha256": None}
    assert {body["code"] for status, body in answers if status == 404} == {"stream_token_unusable"}


async def test_a_token_names_the_api_key_that_it_was_made_with(client: Service, customer: Customer) -> None:
    """The gateway ends its stream with the key."""
    digest = "9f86d081" * 8
    key = Principal(customer.tenant, "api_key", None, ("calls:read",), digest)
    headers = {HEADER: InternalTokens(SECRET, "gateway", SystemClock().now).sign(key)}
    status, answer = await customer.ask("POST", "/events/token", {}, headers=headers)
    assert status == 200
    owner = {"user_id": customer.tenant, "credential": "api_key", "session_id": None, "key_sha256": digest}
    assert await redeem(client, answer["token"], "/events") == (200, owner)


async def test_a_token_is_over_after_a_minute_and_its_row_is_pruned(
    client: Service, customer: Customer, db: Database
) -> None:
    token = await token_for(customer)
    await db.execute("UPDATE stream_tokens SET expires_at = now()")
    assert (await redeem(client, token, "/events"))[0] == 404
    assert await db.execute(repository.PRUNE_TOKENS, LIFETIME, 10) == "DELETE 0"
    await db.execute("UPDATE stream_tokens SET expires_at = now() - interval '61 seconds'")
    assert await db.execute(repository.PRUNE_TOKENS, LIFETIME, 10) == "DELETE 1"


@pytest.mark.parametrize("name", ["callId", "projectId"])
async def test_an_empty_id_is_refused_and_gives_no_token_for_everything(customer: Customer, name: str) -> None:
    status, answer = await customer.ask("POST", "/events/token", {name: ""})
    assert (status, [error["field"] for error in answer["errors"]]) == (422, [name])


@pytest.mark.parametrize("project_id", ["  ", "..", f"{PROJECT}/", f"{PROJECT}?x", f"x/../{PROJECT}"])
async def test_what_is_no_id_is_no_project(customer: Customer, project_id: str) -> None:
    """It was put into a path between services as it came, and led to others of them."""
    status, answer = await customer.ask("POST", "/events/token", {"projectId": project_id})
    assert (status, answer["code"]) == (404, "project_not_found")


async def test_the_token_itself_is_not_kept(customer: Customer, db: Database) -> None:
    token = await token_for(customer, callId=CALL)
    assert token not in str(await db.fetch("SELECT * FROM stream_tokens"))


@pytest.mark.parametrize(
    ("bounds", "refused", "taken"),
    [
        ({}, ["/events/token", "/call", f"/call/{CALL}", "/events/ws/x", "/usage"], "/events/ws"),
        ({}, [], f"/call/{CALL}/events?cursor=3"),
        ({"callId": CALL}, ["/events", f"/call/{OTHER}/events", "/events?call_id="], f"/call/{CALL}/events"),
        (
            {"callId": CALL},
            [f"/events?call_id={OTHER}", f"/events?call_id={CALL}&call_id={OTHER}"],
            f"/events/ws?call_id={CALL}&types=call.ended",
        ),
        (
            {"projectId": PROJECT},
            ["/events", f"/call/{CALL}/events", f"/call/{CALL}/events?project_id={PROJECT}"],
            f"/events?project_id={PROJECT}",
        ),
        (
            {"projectId": PROJECT, "callId": CALL},
            [f"/events?project_id={PROJECT}", f"/call/{CALL}/events"],
            f"/events?project_id={PROJECT}&call_id={CALL}",
        ),
    ],
)
async def test_a_token_is_for_what_it_was_asked_for(
    client: Service, customer: Customer, bounds: dict[str, str], refused: list[str], taken: str
) -> None:
    token = await token_for(customer, **bounds)
    for target in refused:
        assert (await redeem(client, token, target))[0] == 404, target
    assert (await redeem(client, token, taken))[0] == 200
    assert (await redeem(client, token, taken))[0] == 404


def test_a_path_is_read_as_the_server_reads_it() -> None:
    assert asked("/%65vents") is not None
    assert asked("/call/a%20b/events") == repository.Bounds(call_id="a b")
    assert asked("/events#/call") is not None
    assert asked("//events") is None


async def test_what_the_token_endpoints_refuse(client: Service, customer: Customer) -> None:
    for body, code in (({"callId": OTHER}, "call_not_found"), ({"projectId": OTHER}, "project_not_found")):
        status, answer = await customer.ask("POST", "/events/token", body)
        assert (status, answer["code"]) == (404, code)
    for body in ({"callId": "x" * 65}, {"call_id": CALL}, {"callId": 1}):
        assert (await customer.ask("POST", "/events/token", body))[0] == 422, body
    token = await token_for(customer)
    assert (await redeem(client, token, "/events", by=Principal(customer.tenant, "token", None, ("*",))))[0] == 401
    assert (await redeem(client, token, "/events"))[0] == 200


async def test_a_browser_resumes_the_stream_of_a_call_by_its_query(customer: Customer) -> None:
    for query in ("cursor=forged", "cursor=-1", "cursor=" + "1" * 16, "unknown=1"):
        status, answer = await customer.ask("GET", f"/call/{CALL}/events?{query}")
        assert (status, answer["code"]) == (422, "invalid_request"), query
