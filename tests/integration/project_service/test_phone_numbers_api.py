"""`/phone-number/*` on a real Postgres: every documented status."""

from typing import Any

import pytest

from shared.ids import new_id

NUMBER = "+12025550110"


@pytest.fixture
async def place(user: Any) -> dict[str, str]:
    project_id = await user.project()
    return {"projectId": project_id, "agentId": await user.agent(project_id)}


async def test_a_number_is_added_and_found_by_each_of_its_ids(user: Any, place: dict[str, str]) -> None:
    status, answer = await user("POST", "/phone-number/add-number", {**place, "e164": NUMBER})
    assert (status, answer["message"]) == (200, "PhoneNumber assigned successfully.")
    number = answer["data"]
    assert number == {"id": number["id"], "e164": NUMBER, "status": "ASSIGNED", **place}
    for body in ({"phoneNumberId": number["id"]}, {"agentId": place["agentId"]}, {"projectId": place["projectId"]}):
        status, found = await user("POST", "/phone-number", body)
        assert (status, found["message"]) == (200, "Phone number details fetched successfully.")
        assert found["data"] == number


async def test_a_project_with_several_numbers_answers_an_array(user: Any, place: dict[str, str]) -> None:
    for e164 in (NUMBER, "+12025550111"):
        await user("POST", "/phone-number/add-number", {**place, "e164": e164})
    _, answer = await user("POST", "/phone-number", {"projectId": place["projectId"]})
    assert [number["e164"] for number in answer["data"]] == [NUMBER, "+12025550111"]
    _, answer = await user("POST", "/phone-number", {"agentId": place["agentId"], "projectId": place["projectId"]})
    assert answer["data"]["e164"] == "+12025550111", "the agent goes before the project"


async def test_what_fetching_a_number_refuses(user: Any, stranger: Any, place: dict[str, str]) -> None:
    _, answer = await user("POST", "/phone-number/add-number", {**place, "e164": NUMBER})
    assert (await user("POST", "/phone-number", {}))[0] == 400
    for who, body in (
        (user, {"phoneNumberId": new_id()}),
        (user, {"agentId": "nonsense"}),
        (stranger, {"phoneNumberId": answer["data"]["id"]}),
        (stranger, {"agentId": place["agentId"]}),
        (stranger, {"projectId": place["projectId"]}),
    ):
        status, refused = await who("POST", "/phone-number", body)
        assert (status, refused["code"]) == (404, "phone_number_not_found")


@pytest.mark.parametrize("e164", ["2025550110", "+1 202 555 0110", "+999123456", "+1202555", "", None])
async def test_a_malformed_number_is_refused_with_the_reason(user: Any, place: dict[str, str], e164: Any) -> None:
    status, answer = await user("POST", "/phone-number/add-number", {**place, "e164": e164})
    assert status == 400
    assert [error["field"] for error in answer["errors"]] == ["e164"]


async def test_what_adding_a_number_refuses(user: Any, stranger: Any, place: dict[str, str]) -> None:
    body = {**place, "e164": NUMBER}
    path = "/phone-number/add-number"
    assert (await user("POST", path, {"e164": NUMBER}))[0] == 400
    assert (await user("POST", path, {**body, "projectId": new_id()}))[1]["code"] == "project_not_found"
    assert (await user("POST", path, {**body, "agentId": new_id()}))[1]["code"] == "agent_not_found"
    assert (await stranger("POST", path, body))[1]["code"] == "project_not_found"
    await user("POST", path, body)
    other = await stranger.project()
    taken = {"projectId": other, "agentId": await stranger.agent(other), "e164": NUMBER}
    status, answer = await stranger("POST", path, taken)
    assert (status, answer["code"]) == (409, "phone_number_taken")


async def test_a_number_moves_between_the_agents_of_a_project(user: Any, place: dict[str, str]) -> None:
    await user("POST", "/phone-number/add-number", {**place, "e164": NUMBER})
    second = await user.agent(place["projectId"])
    _, answer = await user("POST", "/phone-number/add-number", {**place, "agentId": second, "e164": NUMBER})
    assert answer["data"]["agentId"] == second
    _, agent = await user("POST", "/agent", place)
    assert agent["phoneNumber"] is None


async def test_numbers_are_listed_unassigned_and_released(user: Any, stranger: Any, place: dict[str, str]) -> None:
    ids = []
    for e164 in (NUMBER, "+12025550111", "+12025550112"):
        _, answer = await user("POST", "/phone-number/add-number", {**place, "e164": e164})
        ids.append(answer["data"]["id"])
    _, first = await user("GET", "/phone-number?limit=2")
    _, second = await user("GET", f"/phone-number?limit=2&cursor={first['next_cursor']}")
    assert [number["id"] for number in first["data"] + second["data"]] == ids[::-1]
    assert (await user("GET", f"/phone-number?projectId={new_id()}"))[1]["data"] == []
    assert (await user("GET", "/phone-number?nonsense=1"))[0] == 422
    which = {"phoneNumberId": ids[0]}
    assert (await stranger("POST", "/phone-number/unassign", which))[0] == 404
    assert (await user("POST", "/phone-number/unassign", {}))[0] == 422
    status, number = await user("POST", "/phone-number/unassign", which)
    assert (status, number["status"], number["agentId"]) == (200, "AVAILABLE", None)
    assert (await stranger("DELETE", f"/phone-number/{ids[0]}"))[0] == 404
    assert (await user("DELETE", f"/phone-number/{ids[0]}"))[0] == 204
    assert (await user("DELETE", f"/phone-number/{ids[0]}"))[0] == 404
    other = await stranger.project()
    free = {"projectId": other, "agentId": await stranger.agent(other), "e164": NUMBER}
    assert (await stranger("POST", "/phone-number/add-number", free))[0] == 200
