"""An agent calls functions of its owner, on a real loopback server."""

import orjson
import pytest

from call_service.tools.http import MAX_RESULT_CHARS
from tests.support.functions import Behaviour, drops, functions, hangs, returns, tool_at


async def test_arguments_are_sent_as_json_with_the_call_and_what_tells_repeats_apart() -> None:
    async with functions(returns('{ "state" : "sent" }')) as served, tool_at(f"{served.url}/orders") as tool:
        result = await tool.run({"order": "AB12", "city": "Rome"}, "use-1")
    assert (result.text, result.error) == ('{"state":"sent"}', None)
    [(method, path, body)] = served.asked
    assert (method, path, orjson.loads(body)) == ("POST", "/orders", {"order": "AB12", "city": "Rome"})
    assert served.headers[0]["X-Talkstack-Call-Id"] == "call-1"
    assert served.headers[0]["Idempotency-Key"] == "use-1"


@pytest.mark.parametrize(
    ("order", "path"),
    [
        ("AB12", "/orders/AB12/state?city=New%20York%26"),
        ("../admin?x#y", "/orders/..%2Fadmin%3Fx%23y/state?city=New%20York%26"),
        ("ü", "/orders/%C3%BC/state?city=New%20York%26"),
    ],
)
async def test_with_get_they_go_to_their_places_and_into_the_query(order: str, path: str) -> None:
    async with (
        functions(returns("sent")) as served,
        tool_at(f"{served.url}/orders/{{order}}/state", method="GET") as tool,
    ):
        result = await tool.run({"order": order, "city": "New York&"}, "use-1")
    assert (result.text, result.error) == ("sent", None)
    assert [(method, sent.replace("+", "%20"), body) for method, sent, body in served.asked] == [("GET", path, b"")]


@pytest.mark.parametrize("order", ["", ".", ".."])
async def test_a_place_in_the_path_takes_no_value_that_changes_the_path(order: str) -> None:
    async with functions(returns("sent")) as served, tool_at(f"{served.url}/orders/{{order}}", method="GET") as tool:
        result = await tool.run({"order": order}, "use-1")
    assert result.error == "invalid_arguments"
    assert served.asked == []


async def test_secrets_are_filled_into_headers() -> None:
    headers = {"Authorization": "Bearer {{secrets.crm}}", "X-Site": "north"}
    async with (
        functions(returns("ok")) as served,
        tool_at(served.url, headers=headers, secrets={"crm": "s3cret"}) as tool,
    ):
        assert (await tool.run({"order": "1"}, "use-1")).error is None
    assert (served.headers[0]["Authorization"], served.headers[0]["X-Site"]) == ("Bearer s3cret", "north")
    assert "s3cret" not in repr(tool)


async def test_without_its_secret_nothing_is_sent() -> None:
    async with (
        functions(returns("ok")) as served,
        tool_at(served.url, headers={"Authorization": "Bearer {{secrets.crm}}"}) as tool,
    ):
        assert (await tool.run({"order": "1"}, "use-1")).error == "secret_missing"
    assert served.asked == []


@pytest.mark.parametrize(
    ("behaviour", "error", "text"),
    [
        (returns("no such order", 404), "http_404", "HTTP status 404: no such order"),
        (returns("moved", 302), "http_302", "HTTP status 302"),
        (returns("", 204), None, "Done"),
        (drops, "disconnected", "could not be reached"),
    ],
)
async def test_what_went_wrong_is_told_to_the_model(behaviour: Behaviour, error: str | None, text: str) -> None:
    async with functions(behaviour) as served, tool_at(served.url) as tool:
        result = await tool.run({"order": "1"}, "use-1")
    assert result.error == error
    assert text in result.text
    assert len(served.asked) == 1


async def test_the_time_out_holds_for_all_attempts_together() -> None:
    async with functions(hangs) as served, tool_at(served.url, timeout_seconds=0.3, retries=2) as tool:
        assert (await tool.run({"order": "1"}, "use-1")).error == "timeout"
    assert len(served.asked) == 1


@pytest.mark.parametrize(("retries", "asked", "error"), [(0, 1, "http_503"), (1, 2, "http_503"), (2, 3, None)])
async def test_it_is_tried_again_as_often_as_allowed_with_the_same_key(
    retries: int, asked: int, error: str | None
) -> None:
    behaviours = (returns("busy", 503), returns("busy", 503), returns("sent"))
    async with functions(*behaviours) as served, tool_at(served.url, retries=retries) as tool:
        assert (await tool.run({"order": "1"}, "use-1")).error == error
    assert len(served.asked) == asked
    assert {headers["Idempotency-Key"] for headers in served.headers} == {"use-1"}


async def test_a_long_answer_is_cut() -> None:
    async with functions(returns("word " * 50_000)) as served, tool_at(served.url) as tool:
        result = await tool.run({"order": "1"}, "use-1")
    assert len(result.text) < MAX_RESULT_CHARS + 50
    assert result.text.endswith("(the rest is cut off)")


async def test_our_own_network_is_out_of_reach() -> None:
    async with functions(returns("internal")) as served, tool_at(served.url, allow_private=False) as tool:
        assert (await tool.run({"order": "1"}, "use-1")).error == "invalid_url"
    async with tool_at("https://127.0.0.1:9/", allow_private=False) as tool:
        assert (await tool.run({"order": "1"}, "use-1")).error == "blocked_address"
    assert served.asked == []
