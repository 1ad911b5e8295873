"""Faults while a call goes on: nothing is lost, nothing happens twice, everything recovers."""

import signal
import time
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.demo.api import DemoError
from deploy.demo.receiver import Receiver
from deploy.local.stack import Stack
from shared.amqp import AmqpBus
from shared.events import Event
from shared.testing.waiting import eventually
from tests.support.customers import new_customer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

TALKER = "+12025550100"
BUSY = "+12025550101"
SILENT = "+12025550105"


async def test_a_killed_workers_call_ends_once_and_in_time(stack: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(stack, session, silenceTimeoutSeconds=30)
    async with Receiver().running() as receiver:
        await customer.add_webhook(receiver)
        call_id = await customer.call(SILENT)
        await customer.follow(call_id, "call.turn")
        killed_at = time.monotonic()
        pid = stack.kill("call-worker", signal.SIGKILL)
        call: dict[str, Any] = (await customer.follow(call_id))["data"]
        assert time.monotonic() - killed_at <= 45
        assert (call["status"], call["reason"], call["fault"]) == ("failed", "worker_lost", "platform")
        assert await receiver.wait_for("call.completed", call_id, 15)
        assert [item["type"] for item in receiver.verified].count("call.ended") == 1
        assert call["recordingUrls"]  # what was recorded until then
        await stack.wait_restarted("call-worker", pid)


async def test_a_worker_that_is_asked_to_stop_finishes_its_call(stack: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(stack, session)
    call_id = await customer.call(TALKER)
    await customer.follow(call_id, "call.turn")
    pid = stack.kill("call-worker", signal.SIGTERM)
    call = (await customer.follow(call_id))["data"]
    assert call["status"] == "completed"
    assert call["reason"] in {"agent_hung_up", "callee_hung_up"}
    assert call["data"]["confirmed"] == "yes"
    await stack.wait_restarted("call-worker", pid)


async def test_rabbitmq_stopped_during_a_call_loses_no_event(stack: Stack, session: aiohttp.ClientSession) -> None:
    assert stack.amqp_url is not None
    received: dict[str, list[int]] = {}

    async def note(event: Event) -> None:
        received.setdefault(event.subject, []).append(event.sequence)

    customer = await new_customer(stack, session, silenceTimeoutSeconds=8)
    bus = await AmqpBus.connect(stack.amqp_url)
    try:
        await bus.subscribe("chaos-observer", ["call.#"], note)
        async with Receiver().running() as receiver:
            await customer.add_webhook(receiver)
            call_id = await customer.call(SILENT)
            await customer.follow(call_id, "call.turn")
            await stack.stop_one("rabbitmq")
            second = await customer.call(SILENT)  # calls are taken while the broker is away
            await customer.follow(call_id)
            await stack.start_one("rabbitmq")
            for one in (call_id, second):
                assert await receiver.wait_for("call.completed", one, 90)
                seen = customer.seen.get(one) or []
                await eventually(lambda one=one, seen=seen: len(set(received.get(one, []))) >= len(seen), 60)  # type: ignore[misc]
            for one in (call_id, second):
                numbers = sorted(set(received[one]))
                assert numbers == list(range(1, len(numbers) + 1))
            types = [item["type"] for item in receiver.verified if item["data"]["call_id"] == call_id]
            assert types.count("call.ended") == 1
            assert types[-1] == "call.completed"
    finally:
        await bus.close()


async def test_postgres_restarted_during_a_call(stack: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(stack, session)
    call_id = await customer.call(TALKER)
    await customer.follow(call_id, "call.turn")
    await stack.stop_one("postgres")
    status, answer = await customer.api.try_ask("GET", f"/call/{call_id}")
    assert (status, answer["code"]) == (503, "database_unavailable")
    await stack.start_one("postgres")

    async def answers() -> bool:
        try:
            return (await customer.api.try_ask("GET", f"/call/{call_id}"))[0] == 200
        except DemoError:
            return False

    await eventually(answers, 30)

    async def is_complete() -> bool:
        return bool((await customer.api.ask("GET", f"/call/{call_id}"))["analysis"])

    await eventually(is_complete, 90)
    call = await customer.api.ask("GET", f"/call/{call_id}")
    assert call["status"] == "completed"
    assert {turn["role"] for turn in call["transcript"]} == {"agent", "user"}


async def test_a_webhook_that_is_gone_is_switched_off_and_its_owner_told(
    stack: Stack, session: aiohttp.ClientSession
) -> None:
    """From the receiver's 410 over RabbitMQ to the mail; what came after it is kept for a replay."""
    customer, asked = await new_customer(stack, session), 0

    async def gone(_request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(status=410)

    app = web.Application()
    app.router.add_post("/hook", gone)
    async with TestServer(app) as server:
        hook = str(server.make_url("/hook"))
        body = {"projectId": customer.project_id, "webhookURL": hook}
        await customer.api.ask("POST", "/project/call-status/add-webhookurl", body)
        call_id = await customer.call(BUSY)
        await customer.follow(call_id)

        def mails() -> list[str]:
            found = [path.read_text() for path in (stack.var / "mail").glob(f"*-{customer.email}.eml")]
            return [mail for mail in found if "webhook was switched off" in mail]

        await eventually(lambda: len(mails()) == 1)
        [mail] = mails()
        assert hook in mail.replace("=\n", "")
        assert "410 Gone" in mail
        parked = await customer.api.ask("GET", f"/webhook/deliveries?projectId={customer.project_id}&status=parked")
        assert len(parked["data"]) >= 1
    assert asked == 1


async def test_live_events_go_through_the_gateway_and_resume(stack: Stack, session: aiohttp.ClientSession) -> None:
    """A customer who watches all calls loses nothing when the API process is replaced."""
    customer = await new_customer(stack, session)
    types: list[str] = []
    cursor = ""
    pid = 0
    call_id = ""
    while "call.completed" not in types:
        async with session.ws_connect(
            f"{stack.url()}/events/ws{cursor and f'?cursor={cursor}'}",
            headers={"Authorization": f"Bearer {customer.api.token}"},
        ) as socket:
            call_id = call_id or await customer.call(SILENT)
            async for message in socket:
                frame = message.json()
                types.append(frame["event"])
                cursor = frame["id"] or cursor
                if frame["event"] == "call.answered":
                    pid = stack.kill("call-api", signal.SIGTERM)
                if frame["event"] == "call.completed":
                    break
        if pid and "call.completed" not in types:
            await stack.wait_restarted("call-api", pid)
    assert "stream.closed" in types
    kept = [type_ for type_ in types if type_ not in {"stream.closed", "call.turn"}]
    assert kept[:4] == ["call.queued", "call.initiated", "call.ringing", "call.answered"]
    assert len(kept) == len(set(kept))
