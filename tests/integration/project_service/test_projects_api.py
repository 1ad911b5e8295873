"""`/project/*` on a real Postgres: every documented status."""

import re
from typing import Any

import pytest

from shared import tokens
from shared.clock import SystemClock
from shared.db import Database
from shared.ids import new_id
from shared.tokens import InternalTokens

URL = "http://127.0.0.1:9/hook"


async def test_a_project_is_created(user: Any) -> None:
    status, answer = await user("POST", "/project/create-project", {"name": "Front desk", "description": ""})
    assert status == 200
    assert answer["status"] == "success"
    assert answer["message"] == "successfully created project."
    project = answer["data"]
    assert project["created_at"].endswith("Z")
    assert {**project, "id": 0, "created_at": 0, "updated_at": 0} == {
        "id": 0,
        "name": "Front desk",
        "user_id": user.id,
        "status": "ACTIVE",
        "description": "",
        "is_deleted": False,
        "call_status_webhook": None,
        "active_agent": None,
        "created_at": 0,
        "updated_at": 0,
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"description": "d"}, "name"),
        ({"name": "n"}, "description"),
        ({"name": "  ", "description": "d"}, "name"),
        ({"name": 7, "description": "d"}, "name"),
        ({"name": "n" * 201, "description": "d"}, "name"),
        ({"name": "n", "description": "d", "webhookUrl": "ftp://x"}, "webhookUrl"),
    ],
)
async def test_a_malformed_project_is_refused(user: Any, body: Any, field: str) -> None:
    status, answer = await user("POST", "/project/create-project", body)
    assert status == 400
    assert answer["status"] == "error"
    assert [error["field"] for error in answer["errors"]] == [field]


async def test_names_are_unique_per_user_and_free_again_after_deletion(user: Any, stranger: Any) -> None:
    project_id = await user.project("Desk")
    body = {"name": "Desk", "description": ""}
    status, answer = await user("POST", "/project/create-project", body)
    assert (status, answer["code"]) == (400, "project_name_taken")
    assert (await stranger("POST", "/project/create-project", body))[0] == 200
    assert (await user("DELETE", f"/project/{project_id}"))[0] == 200
    assert (await user("POST", "/project/create-project", body))[0] == 200


async def test_the_list_pages_through_the_users_own_projects(user: Any, stranger: Any) -> None:
    ids = [await user.project(f"p{number}") for number in range(3)]
    await stranger.project()
    status, first = await user("GET", "/project?limit=2")
    assert status == 200
    assert [project["id"] for project in first["data"]] == [ids[2], ids[1]]
    _, second = await user("GET", f"/project?limit=2&cursor={first['next_cursor']}")
    assert [project["id"] for project in second["data"]] == [ids[0]]
    assert second["next_cursor"] is None
    assert (await user("GET", "/project?cursor=forged"))[0] == 400
    assert (await user("GET", "/project?limit=0"))[0] == 400


async def test_a_project_is_fetched_by_its_owner_only(user: Any, stranger: Any) -> None:
    project_id = await user.project()
    status, answer = await user("GET", f"/project/{project_id}")
    assert (status, answer["data"]["id"]) == (200, project_id)
    for who, asked in ((stranger, project_id), (user, new_id()), (user, "nonsense")):
        status, answer = await who("GET", f"/project/{asked}")
        assert (status, answer["code"]) == (400, "project_not_found")


async def test_an_update_with_name_description_and_webhook_answers_the_project(user: Any) -> None:
    project_id = await user.project("Old")
    body = {"name": "New", "description": "Changed.", "webhookUrl": URL}
    status, answer = await user("PUT", f"/project/{project_id}", body)
    assert (status, answer["message"]) == (200, "successfully updated project info.")
    changed = {name: answer["data"][name] for name in ("id", "name", "description", "call_status_webhook")}
    assert changed == {"id": project_id, "name": "New", "description": "Changed.", "call_status_webhook": URL}
    assert (await user("GET", f"/project/{project_id}"))[1]["data"] == answer["data"]


async def test_an_update_leaves_out_what_is_not_given(user: Any) -> None:
    project_id = await user.project("Old")
    await user("PUT", f"/project/{project_id}", {"description": "Kept.", "webhookURL": URL})
    _, answer = await user("PUT", f"/project/{project_id}", {"name": "New"})
    assert answer["data"]["description"] == "Kept."
    assert answer["data"]["call_status_webhook"] == URL


async def test_what_an_update_refuses(user: Any, stranger: Any) -> None:
    project_id = await user.project("One")
    await user.project("Two")
    change = {"name": "Three"}
    assert (await user("PUT", f"/project/{project_id}", {}))[0] == 400
    assert (await user("PUT", f"/project/{project_id}", {"webhookUrl": URL}))[0] == 400
    assert (await user("PUT", f"/project/{project_id}", {"name": "Two"}))[1]["code"] == "project_name_taken"
    status, answer = await user("PUT", f"/project/{project_id}", {"name": "One", "webhookUrl": "no url"})
    assert (status, answer["code"]) == (400, "invalid_url")
    assert (await user("PUT", f"/project/{new_id()}", change))[0] == 404
    assert (await user("PUT", "/project/nonsense", change))[0] == 404
    status, answer = await stranger("PUT", f"/project/{project_id}", change)
    assert (status, answer["code"]) == (404, "project_not_found")


async def test_a_project_with_contents_is_deleted_with_cascade_only(user: Any, stranger: Any, db: Database) -> None:
    project_id = await user.project()
    agent_id = await user.agent(project_id, phoneNumber="+12025550101")
    assert (await stranger("DELETE", f"/project/{project_id}"))[0] == 404
    status, answer = await user("DELETE", f"/project/{project_id}")
    assert (status, answer["code"]) == (409, "project_not_empty")
    status, answer = await user("DELETE", f"/project/{project_id}", {"cascade": True})
    assert (status, answer["message"]) == (200, "successfully deleted project.")
    assert (await user("DELETE", f"/project/{project_id}", {"cascade": True}))[0] == 404
    assert (await user("POST", "/agent", {"projectId": project_id, "agentId": agent_id}))[0] == 404
    types = [row["type"] for row in await db.fetch("SELECT type FROM outbox ORDER BY position DESC LIMIT 3")]
    assert types == ["project.deleted", "agent.deleted", "phone_number.released"]


async def test_the_signing_secret_is_shown_once(user: Any, stranger: Any) -> None:
    project_id = await user.project()
    body = {"projectId": project_id, "webhookURL": URL}
    path = "/project/call-status/add-webhookurl"
    status, answer = await user("POST", path, body)
    assert (status, answer["message"]) == (200, "added webhook url.")
    assert answer["signingSecret"].startswith("whsec_")
    _, again = await user("POST", path, body)
    assert "signingSecret" not in again
    assert (await user("POST", path, {"projectId": project_id}))[0] == 400
    assert (await user("POST", path, {**body, "webhookURL": "http://user:pw@example.com"}))[1]["code"] == "invalid_url"
    assert (await user("POST", path, {**body, "projectId": new_id()}))[0] == 404
    assert (await stranger("POST", path, body))[0] == 404


async def test_a_secret_that_an_update_made_is_shown_by_the_first_registration(user: Any) -> None:
    project_id = await user.project()
    await user("PUT", f"/project/{project_id}", {"name": "New", "call_status_webhook": URL})
    body = {"projectId": project_id, "webhookUrl": URL}
    _, answer = await user("POST", "/project/call-status/add-webhookurl", body)
    assert answer["signingSecret"].startswith("whsec_")


async def test_the_active_agent_is_set_read_and_removed(user: Any, stranger: Any) -> None:
    project_id = await user.project()
    agent_id = await user.agent(project_id)
    choice = {"projectId": project_id, "active_agent": agent_id}
    which = {"projectId": project_id}
    status, answer = await user("POST", "/project/active-agent", which)
    assert (status, answer["code"]) == (404, "active_agent_not_set")
    status, answer = await user("PATCH", "/project/active-agent", choice)
    assert (status, answer["message"]) == (200, "updated active agent successfully.")
    assert answer["project"]["active_agent"] == agent_id
    status, answer = await user("POST", "/project/active-agent", which)
    assert (status, answer["active_agent"], answer["message"]) == (200, agent_id, "fetched active agent.")
    assert (await stranger("PATCH", f"/project/active-agent/{agent_id}"))[0] == 404
    status, answer = await user("PATCH", f"/project/active-agent/{agent_id}")
    assert (status, answer["message"]) == (200, "Removed active agent from project successfully.")
    assert (await user("PATCH", f"/project/active-agent/{agent_id}"))[0] == 404
    assert (await user("PATCH", "/project/active-agent/nonsense"))[0] == 404


async def test_what_setting_an_active_agent_refuses(user: Any, stranger: Any) -> None:
    project_id, other_id = await user.project("a"), await user.project("b")
    elsewhere = await user.agent(other_id)
    path = "/project/active-agent"
    assert (await user("PATCH", path, {"projectId": project_id}))[0] == 400
    assert (await user("POST", path, {}))[0] == 400
    status, answer = await user("PATCH", path, {"projectId": project_id, "active_agent": elsewhere})
    assert (status, answer["code"]) == (404, "agent_not_found")
    status, answer = await stranger("PATCH", path, {"projectId": other_id, "active_agent": elsewhere})
    assert (status, answer["code"]) == (404, "project_not_found")
    assert (await stranger("POST", path, {"projectId": other_id}))[0] == 404


async def test_every_endpoint_but_the_preview_wants_a_principal(user: Any) -> None:
    _, document = await user("GET", "/openapi.json")
    operations = [
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if path != "/voices/{voice_id}/preview.wav"
    ]
    assert len(operations) > 25
    anonymous = {
        tokens.HEADER: InternalTokens("an internal token secret of 32 bytes", "gateway", SystemClock().now).sign(None)
    }
    for method, path in operations:
        url = re.sub("{[a-zA-Z_]+}", new_id(), path)
        async with user.client.request(method, url, headers=anonymous) as answer:
            assert answer.status == 401, (method, path)


async def test_changes_are_reported_as_events(user: Any, db: Database) -> None:
    project_id = await user.project()
    await user("PUT", f"/project/{project_id}", {"name": "New"})
    rows = await db.fetch(
        "SELECT type, sequence, tenant, data FROM outbox WHERE subject = $1 ORDER BY sequence", project_id
    )
    assert [(row["type"], row["sequence"]) for row in rows] == [("project.created", 1), ("project.updated", 2)]
    assert {row["tenant"] for row in rows} == {user.id}
    assert rows[1]["data"]["name"] == "New"


async def test_services_ask_for_a_project(user: Any, service: Any) -> None:
    project_id = await user.project()
    status, project = await service("GET", f"/internal/projects/{project_id}")
    assert (status, project["id"], project["user_id"]) == (200, project_id, user.id)
    assert (await service("GET", f"/internal/projects/{new_id()}"))[1]["code"] == "project_not_found"
    assert (await user("GET", f"/internal/projects/{project_id}"))[0] == 401
