"""What is accepted as an agent's tools; what is not is told by field and rule."""

from typing import Any

import pytest
from pydantic import ValidationError

from project_service.agents.settings import AgentSettings

HTTP: dict[str, Any] = {
    "type": "http",
    "name": "order_status",
    "description": "The state of an order.",
    "url": "https://api.example.com/orders/{order}",
    "method": "GET",
    "parameters": {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
}


def told(*tools: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as refused:
        AgentSettings.model_validate({"tools": list(tools)})
    error = refused.value.errors()[0]
    return ".".join(str(part) for part in error["loc"]) + ": " + error["msg"]


def test_tools_are_kept_as_they_are_written_with_their_defaults() -> None:
    tools = [
        {**HTTP, "headers": {"Authorization": "Bearer {{secrets.crm}}", "X-Site": "north"}, "retries": 2},
        {"type": "transfer", "mode": "warm"},
        {"type": "sendDtmf", "goal": "reach the reception"},
        {"type": "lookUp"},
        {"type": "collect", "fields": [{"name": "order_number", "description": "Two letters and digits."}]},
        {"type": "endCall", "description": "When they have no more questions."},
    ]
    kept = AgentSettings.model_validate({"tools": tools}).model_dump(mode="json", by_alias=True)["tools"]
    assert AgentSettings.model_validate({"tools": kept}).model_dump(mode="json", by_alias=True)["tools"] == kept
    assert kept[0] == {**tools[0], "timeoutSeconds": 8.0, "idempotent": False, "filler": None}
    assert kept[1]["announcement"]


@pytest.mark.parametrize(
    ("change", "where", "why"),
    [
        ({"name": "order status"}, "tools.0.http.name", "should match pattern"),
        ({"name": "end_call"}, "tools.0.http", "a built-in tool has this name"),
        ({"url": "ftp://example.com/{order}"}, "tools.0.http.url", "starts with https"),
        ({"url": "https://user:pw@example.com/{order}"}, "tools.0.http.url", "user name or password"),
        ({"url": "https://{order}.example.com/"}, "tools.0.http.url", "The host is fixed"),
        ({"url": "https://example.com/{id}"}, "tools.0.http", "url: {id} has to be required."),
        ({"timeoutSeconds": 21}, "tools.0.http.timeoutSeconds", "less than or equal to 20"),
        ({"method": "POST", "retries": 1}, "tools.0.http", "retries: only where repeating does no harm"),
        ({"retries": 3}, "tools.0.http.retries", "less than or equal to 2"),
        ({"parameters": {"type": "array"}}, "tools.0.http.parameters", 'has to be "object"'),
        (
            {"headers": {"Authorization": "Bearer abc"}},
            "tools.0.http",
            "headers.Authorization: write a secret as {{secrets.name}},",
        ),
        ({"headers": {"X-Api-Key": "abc"}}, "tools.0.http", "headers.X-Api-Key"),
        ({"headers": {"Host": "other"}}, "tools.0.http", "headers.Host: we set it ourselves"),
        ({"headers": {"A": "b\r\nC: d"}}, "tools.0.http.headers.A", "should match pattern"),
        ({"async": True}, "tools.0.http.async", "Extra inputs"),
        ({"type": "shell"}, "tools.0", "expected tags"),
    ],
)
def test_a_function_that_can_not_work_is_refused(change: dict[str, Any], where: str, why: str) -> None:
    text = told({**HTTP, **change})
    assert text.startswith(f"{where}: "), text
    assert why in text


@pytest.mark.parametrize(
    ("tools", "why"),
    [
        ([HTTP, HTTP], "tools.1: order_status is there already."),
        ([{"type": "lookUp"}, {"type": "lookUp"}], "tools.1: lookUp is there already."),
        ([{"type": "collect", "fields": []}], "at least 1 item"),
        ([{"type": "collect", "fields": [{"name": "a"}, {"name": "a"}]}], "fields: each name once"),
        ([{"type": "lookUp"}] * 21, "at most 20 items"),
    ],
)
def test_tools_have_to_go_together(tools: list[dict[str, Any]], why: str) -> None:
    assert why in told(*tools)


def test_a_repeatable_post_may_be_retried() -> None:
    AgentSettings.model_validate({"tools": [{**HTTP, "method": "POST", "idempotent": True, "retries": 2}]})
