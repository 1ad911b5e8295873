"""Callees that are no people, and calls that are handed over: through the gateway, with real speech."""

from typing import Any

import aiohttp
import pytest

from deploy.local.stack import Stack
from shared.testing.waiting import eventually
from tests.support.customers import Customer, new_customer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

VOICEMAIL, SCREENED, TALKS, LISTENS = "+12025550104", "+12025550111", "+12025550100", "+12025550105"
REMINDER = "You are Maya of Bright Dental. You are calling the customer to remind them of the appointment on Friday."


def detected(customer: Customer, call_id: str) -> list[dict[str, Any]]:
    return [event["data"] for event in customer.seen[call_id] if event["type"] == "call.detected"]


async def test_a_voicemail_is_told_as_one(stack: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(stack, session)
    call_id = await customer.call(VOICEMAIL)
    call = (await customer.follow(call_id))["data"]
    assert (call["status"], call["answeredBy"]) == ("voicemail", "voicemail")
    assert detected(customer, call_id)[-1]["confidence"] >= 0.9


async def test_a_screening_assistant_hears_who_calls_and_connects(stack: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(stack, session, REMINDER)
    call_id = await customer.call(SCREENED)
    call = (await customer.follow(call_id))["data"]
    kinds = [verdict["answeredBy"] for verdict in detected(customer, call_id)]
    assert "screening" in kinds
    assert call["answeredBy"] == kinds[-1] == "human"
    said = [turn["text"] for turn in call["transcript"] if turn["role"] == "agent"]
    assert any("Bright Dental" in text and "appointment" in text for text in said)
    assert call["status"] == "completed"


async def test_a_call_is_handed_over_with_an_announcement(stack: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(stack, session)
    call_id = await customer.call(TALKS)

    async def has_begun() -> bool:
        answer = await customer.api.ask("GET", f"/call/{call_id}")
        return answer["status"] == "in-progress" and bool(answer["transcript"])

    await eventually(has_begun, 30)
    body = {"to": LISTENS, "mode": "warm", "announcement": "Anna Miller wants an appointment."}
    answer = await customer.api.ask("POST", f"/call/{call_id}/transfer", body)
    assert answer["command"]["kind"] == "transfer"
    path = f"/call/{call_id}/commands/{answer['command']['command_id']}"

    async def is_joined() -> bool:
        return bool((await customer.api.ask("GET", path))["command"]["state"] == "done")

    await eventually(is_joined, 30)
    await customer.api.ask("POST", f"/call/{call_id}/end")
    call = (await customer.follow(call_id))["data"]
    assert (call["status"], call["reason"]) == ("completed", "caller_api_ended")
    transferred = [event["data"] for event in customer.seen[call_id] if event["type"] == "call.transferred"]
    assert transferred == [{"call_id": call_id, "to": LISTENS, "mode": "warm"}]
