"""Agents' tools and the secrets of their headers, over the API."""

from typing import Any

import pytest

from project_service.settings import ProjectSettings
from project_service.tool_secrets import service as secrets_service
from shared.db import Database
from tests.integration.project_service.conftest import ServeApi, User

TOOL = {"type": "http", "name": "order_status", "description": "The state of an order.", "url": "https://127.0.0.1/x"}
SECRET_VALUE = "s3cr3t-of-a-crm"


@pytest.fixture
def settings(environment: dict[str, Any]) -> ProjectSettings:
    return ProjectSettings(**environment, tool_allow_private=True)


async def test_tools_are_part_of_a_version_and_of_the_call(user: User, service: User) -> None:
    project_id = await user.project()
    agent_id = await user.agent(project_id, tools=[TOOL, {"type": "lookUp"}])
    _, prepared = await service("POST", "/internal/calls/prepare", {"projectId": project_id, "agentId": agent_id})
    assert [tool["type"] for tool in prepared["agent"]["tools"]] == ["http", "lookUp"]
    assert prepared["agent"]["tools"][0]["timeoutSeconds"] == 8
    change = {"projectId": project_id, "agentId": agent_id, "tools": []}
    status, changed = await user("PUT", "/agent", change)
    assert (status, changed["data"]["tools"], changed["data"]["version"]) == (200, [], 2)
    _, versions = await user("GET", f"/agent/{agent_id}/versions")
    assert [len(version["tools"]) for version in versions["data"]] == [0, 2]


async def test_a_wrong_tool_is_told_by_its_field(user: User) -> None:
    body = {"projectId": await user.project(), "name": "A", "systemInstruction": "B"}
    broken = {**TOOL, "parameters": {"type": "object", "properties": {"a": {"type": "strin"}}}}
    status, answer = await user("POST", "/agent/create-agent", {**body, "tools": [broken]})
    assert (status, answer["code"]) == (400, "invalid_request")
    assert answer["errors"][0]["field"] == "tools.0.http.parameters"
    assert answer["errors"][0]["message"].startswith("properties.a.type")


async def test_transfers_need_numbers_also_when_an_agent_is_changed(user: User) -> None:
    project_id = await user.project()
    body = {"projectId": project_id, "name": "A", "systemInstruction": "B", "tools": [{"type": "transfer"}]}
    status, answer = await user("POST", "/agent/create-agent", body)
    assert (status, answer["errors"][0]["field"]) == (400, "transferNumbers")
    status, answer = await user("POST", "/agent/create-agent", {**body, "transferNumbers": ["+12025550101"]})
    assert status == 200
    change = {"projectId": project_id, "agentId": answer["data"]["id"], "transferNumbers": []}
    status, answer = await user("PUT", "/agent", change)
    assert (status, answer["errors"][0]["field"]) == (400, "transferNumbers")


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/x", "https://[::1]/x", "https://169.254.169.254/latest", "http://example.com/"]
)
async def test_tools_lead_to_the_public_internet_only(
    environment: dict[str, Any], serve_api: ServeApi, url: str
) -> None:
    async with serve_api(ProjectSettings(**environment)) as client:
        user = User(client, "0192f0c1-9999-7c44-9f3e-1b2a4c5d6e7f")
        project_id = await user.project()
        body = {"projectId": project_id, "name": "A", "systemInstruction": "B"}
        status, answer = await user(
            "POST", "/agent/create-agent", {**body, "tools": [{"type": "endCall"}, {**TOOL, "url": url}]}
        )
        assert (status, answer["errors"][0]["field"]) == (400, "tools.1.url")
        change = {"projectId": project_id, "agentId": await user.agent(project_id), "tools": [{**TOOL, "url": url}]}
        status, answer = await user("PUT", "/agent", change)
        assert (status, answer["errors"][0]["field"]) == (400, "tools.0.url")


async def test_a_secret_is_set_named_opened_by_workers_and_forgotten(user: User, service: User, db: Database) -> None:
    project_id = await user.project()
    path = f"/project/{project_id}/tool-secrets"
    status, secret = await user("PUT", f"{path}/crm", {"value": "old"})
    assert (status, secret["name"]) == (200, "crm")
    status, secret = await user("PUT", f"{path}/crm", {"value": SECRET_VALUE})
    assert await user("GET", path) == (200, {"data": [secret]})
    assert await service("GET", f"/internal/projects/{project_id}/tool-secrets") == (
        200,
        {"secrets": {"crm": SECRET_VALUE}},
    )
    assert SECRET_VALUE not in str(await db.fetch("SELECT t::text AS row FROM tool_secrets t"))
    assert (await user("DELETE", f"{path}/crm"))[0] == 204
    status, answer = await user("DELETE", f"{path}/crm")
    assert (status, answer["code"]) == (404, "secret_not_found")
    assert (await user("DELETE", f"{path}/a%00b"))[0] == 404
    assert await service("GET", f"/internal/projects/{project_id}/tool-secrets") == (200, {"secrets": {}})


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("CRM", "x", "invalid_name"),
        ("1st", "x", "invalid_name"),
        ("a" * 41, "x", "invalid_name"),
        ("crm", "", "invalid_request"),
        ("crm", "a\r\nB: c", "invalid_request"),
        ("crm", "a" * 1001, "invalid_request"),
        ("crm", " a", "invalid_request"),
    ],
    ids=["capitals", "digit", "long name", "empty", "lines", "long", "blank"],
)
async def test_names_and_values_fit_where_they_are_written(user: User, name: str, value: str, code: str) -> None:
    status, answer = await user("PUT", f"/project/{await user.project()}/tool-secrets/{name}", {"value": value})
    assert (status, answer["code"]) == (422, code)
    assert "a" * 41 not in answer["message"]


async def test_secrets_are_limited(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets_service, "MAX_SECRETS", 2)
    path = f"/project/{await user.project()}/tool-secrets"
    statuses = [(await user("PUT", f"{path}/{name}", {"value": "x"}))[0] for name in ("a", "b", "c", "a")]
    assert statuses == [200, 200, 409, 200]


async def test_strangers_and_deleted_projects_have_no_secrets(user: User, stranger: User, service: User) -> None:
    project_id = await user.project()
    path = f"/project/{project_id}/tool-secrets"
    await user("PUT", f"{path}/crm", {"value": SECRET_VALUE})
    for method, where, body in (
        ("PUT", f"{path}/crm", {"value": "x"}),
        ("GET", path, None),
        ("DELETE", f"{path}/crm", None),
    ):
        status, answer = await stranger(method, where, body)
        assert (status, answer["code"]) == (404, "project_not_found")
    other = User(stranger.client, stranger.id, "service")
    assert await other("GET", f"/internal/projects/{project_id}/tool-secrets") == (200, {"secrets": {}})
    assert (await user("GET", f"/internal/projects/{project_id}/tool-secrets"))[0] == 401
    await user("DELETE", f"/project/{project_id}", {"cascade": True})
    assert await service("GET", f"/internal/projects/{project_id}/tool-secrets") == (200, {"secrets": {}})
