"""A web page that watches calls: it can send no headers, so it opens streams with tokens."""

import asyncio

import aiohttp
import orjson
import pytest

from deploy.local.stack import Stack
from shared.testing.waiting import eventually
from tests.support.customers import new_customer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

BUSY = "+12025550101"


async def test_a_page_watches_a_call_with_a_token_that_opens_nothing_else_and_nothing_twice(
    stack: Stack, session: aiohttp.ClientSession
) -> None:
    customer = await new_customer(stack, session)

    async def token(**bounds: str) -> str:
        return str((await customer.api.ask("POST", "/events/token", bounds))["token"])

    async def refusal(path: str, token: str) -> tuple[int, str]:
        async with session.get(f"{stack.url()}{path}", params={"token": token}) as answer:
            return answer.status, (await answer.json())["code"] if answer.status >= 400 else ""

    call_id = await customer.call(BUSY)
    path, own = f"/call/{call_id}/events", await token(callId=call_id)
    assert await refusal("/events", own) == (401, "invalid_stream_token")
    async with session.get(f"{stack.url()}{path}", params={"token": own, "cursor": "1"}) as stream:
        assert stream.content_type == "text/event-stream"
        lines = (await stream.text()).splitlines()
    events = [orjson.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert [event["sequence"] for event in events] == list(range(2, len(events) + 2))
    assert events[-1]["type"] == "call.completed"
    assert await refusal(path, own) == (401, "invalid_stream_token")

    async with session.ws_connect(f"{stack.url()}/events/ws?token={await token()}") as socket:
        second = await customer.call(BUSY)
        assert (await socket.receive_json(timeout=20))["data"]["subject"] == second

    kept = [await token() for _ in range(40)]
    credentials = {"Authorization": f"Bearer {customer.api.token}"}
    async with session.post(f"{stack.url()}/auth/logout", headers=credentials) as answer:
        assert answer.status == 204

    async def is_over() -> bool:
        await asyncio.sleep(0.5)
        return await refusal("/events?limit=1", kept.pop()) == (401, "invalid_stream_token")

    await eventually(is_over)
