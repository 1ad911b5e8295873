"""`/agent/*` and the preparation of calls on a real Postgres: every documented status."""

import asyncio
from typing import Any

import pytest

from shared.db import Database
from shared.ids import new_id

NEW = {"name": "Anna", "systemInstruction": "You talk to {{customer}}."}


async def test_an_agent_is_created_with_defaults(user: Any) -> None:
    project_id = await user.project()
    status, answer = await user("POST", "/agent/create-agent", {**NEW, "projectId": project_id})
    assert (status, answer["message"]) == (200, "successfully created agent.")
    agent = answer["data"]
    assert agent["id"] == agent["agentId"]
    assert {**agent, "id": 0, "agentId": 0, "created_at": 0, "updated_at": 0} == {
        **NEW,
        "id": 0,
        "agentId": 0,
        "projectId": project_id,
        "voice_id": "heart",
        "phoneNumber": None,
        "version": 1,
        "created_at": 0,
        "updated_at": 0,
        "firstMessage": None,
        "language": "en-US",
        "temperature": 0.4,
        "maxCallSeconds": 1800,
        "silenceTimeoutSeconds": 6.0,
        "voicemail": {"action": "hang_up", "message": None},
        "detection": {"voicemail": None, "screening": "answer", "ivr": "continue"},
        "turnTaking": {"strategy": "question", "waitMs": 500},
        "onFailure": {"transferTo": None},
        "recordingEnabled": True,
        "analysisQuestions": [],
        "transferNumbers": [],
        "providers": {"stt": None, "llm": None, "tts": None, "s2s": None},
        "requiredTests": [],
        "tools": [],
    }


async def test_an_agent_keeps_its_settings(user: Any) -> None:
    project_id = await user.project()
    settings = {
        "firstMessage": "Hello!",
        "voice_id": "heart-calm",
        "phoneNumber": "+12025550102",
        "voicemail": {"action": "leave_message", "message": "Call us back."},
        "detection": {"voicemail": "continue", "screening": "hang_up", "ivr": "hang_up"},
        "analysisQuestions": [{"question": "Mood?", "type": "Selector", "options": ["good", "bad"]}],
        "transferNumbers": ["+4915112345678"],
        "turnTaking": {"strategy": "sentence", "waitMs": 800},
        "onFailure": {"transferTo": "+4915112345678"},
        "recordingEnabled": False,
    }
    agent_id = await user.agent(project_id, **settings)
    status, agent = await user("POST", "/agent", {"projectId": project_id, "agentId": agent_id})
    assert status == 200
    assert {name: agent[name] for name in settings} == settings


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"name": None}, "name", "string_type"),
        ({"systemInstruction": " "}, "systemInstruction", "string_too_short"),
        ({"voice_id": "nobody"}, "voice_id", "unknown_voice"),
        ({"phoneNumber": "(202) 555-0100"}, "phoneNumber", "invalid_e164"),
        ({"maxCallSeconds": 1}, "maxCallSeconds", "greater_than_equal"),
        ({"temperature": 3}, "temperature", "less_than_equal"),
        ({"language": "english"}, "language", "string_pattern_mismatch"),
        ({"voicemail": {"action": "leave_message"}}, "voicemail", "value_error"),
        ({"detection": {"ivr": "answer"}}, "detection.ivr", "literal_error"),
        ({"analysisQuestions": [{"question": "?", "type": "Selector"}]}, "analysisQuestions.0", "value_error"),
        ({"turnTaking": {"waitMs": 50}}, "turnTaking.waitMs", "greater_than_equal"),
        ({"onFailure": {"transferTo": "110"}}, "onFailure.transferTo", "invalid_e164"),
        ({"transferNumbers": ["110"]}, "transferNumbers.0", "invalid_e164"),
    ],
)
async def test_a_malformed_agent_is_refused(user: Any, change: Any, field: str, code: str) -> None:
    project_id = await user.project()
    status, answer = await user("POST", "/agent/create-agent", {**NEW, "projectId": project_id, **change})
    assert status == 400
    assert [(error["field"], error["code"]) for error in answer["errors"]] == [(field, code)]


async def test_what_creating_an_agent_refuses(user: Any, stranger: Any) -> None:
    project_id = await user.project()
    assert (await user("POST", "/agent/create-agent", {"projectId": project_id}))[0] == 400
    for who, asked in ((user, new_id()), (user, "nonsense"), (stranger, project_id)):
        status, answer = await who("POST", "/agent/create-agent", {**NEW, "projectId": asked})
        assert (status, answer["code"]) == (404, "project_not_found")
    other_id = await user.project("Other")
    await user.agent(other_id, phoneNumber="+12025550103")
    body = {**NEW, "projectId": project_id, "phoneNumber": "+12025550103"}
    status, answer = await user("POST", "/agent/create-agent", body)
    assert (status, answer["code"]) == (409, "phone_number_taken")
    assert (await user("GET", f"/agent/{project_id}"))[0] == 404


async def test_an_agent_is_fetched_by_its_owner_only(user: Any, stranger: Any) -> None:
    project_id = await user.project()
    other_id = await user.project("Other")
    agent_id = await user.agent(project_id)
    assert (await user("POST", "/agent", {"projectId": project_id}))[0] == 400
    wrong = (
        (stranger, project_id, agent_id),
        (user, other_id, agent_id),
        (user, project_id, new_id()),
        (user, "nonsense", "nonsense"),
    )
    for who, project, agent in wrong:
        status, answer = await who("POST", "/agent", {"projectId": project, "agentId": agent})
        assert (status, answer["code"]) == (404, "agent_not_found")


async def test_every_update_makes_a_version_and_keeps_the_older_ones(user: Any, stranger: Any) -> None:
    project_id = await user.project()
    agent_id = await user.agent(project_id, firstMessage="Hello!")
    which = {"projectId": project_id, "agentId": agent_id}
    status, answer = await user("PUT", "/agent", {**which, "name": "Berta", "maxCallSeconds": 60})
    assert (status, answer["message"]) == (200, "agent data updated successfully.")
    assert (answer["data"]["version"], answer["data"]["firstMessage"]) == (2, "Hello!")
    await user("PUT", "/agent", {**which, "firstMessage": None, "phoneNumber": "+12025550104"})
    _, agent = await user("POST", "/agent", which)
    assert (agent["version"], agent["name"], agent["maxCallSeconds"]) == (3, "Berta", 60)
    assert (agent["firstMessage"], agent["phoneNumber"]) == (None, "+12025550104")
    status, first = await user("GET", f"/agent/{agent_id}/versions?limit=2")
    assert (status, [version["version"] for version in first["data"]]) == (200, [3, 2])
    _, second = await user("GET", f"/agent/{agent_id}/versions?limit=2&cursor={first['next_cursor']}")
    assert [(version["name"], version["maxCallSeconds"]) for version in second["data"]] == [("Anna", 1800)]
    assert (await user("GET", f"/agent/{agent_id}/versions?limit=0"))[0] == 422
    assert (await user("GET", f"/agent/{new_id()}/versions"))[0] == 404
    assert (await stranger("GET", f"/agent/{agent_id}/versions"))[0] == 404


async def test_concurrent_updates_each_get_a_version(user: Any) -> None:
    project_id = await user.project()
    agent_id = await user.agent(project_id)
    which = {"projectId": project_id, "agentId": agent_id}
    changes = [user("PUT", "/agent", {**which, "name": f"Anna {number}"}) for number in range(5)]
    answers = await asyncio.gather(*changes)
    assert sorted(answer["data"]["version"] for _, answer in answers) == [2, 3, 4, 5, 6]


async def test_what_updating_an_agent_refuses(user: Any, stranger: Any) -> None:
    project_id = await user.project()
    agent_id = await user.agent(project_id)
    which = {"projectId": project_id, "agentId": agent_id}
    assert (await user("PUT", "/agent", which))[0] == 400
    assert (await user("PUT", "/agent", {**which, "voice_id": "nobody"}))[0] == 400
    assert (await user("PUT", "/agent", {"projectId": project_id, "name": "x"}))[0] == 400
    assert (await user("PUT", "/agent", {**which, "agentId": new_id(), "name": "x"}))[1]["code"] == "agent_not_found"
    assert (await stranger("PUT", "/agent", {**which, "name": "x"}))[1]["code"] == "project_not_found"


async def test_a_deleted_agent_gives_its_number_back_to_the_project(user: Any, stranger: Any, db: Database) -> None:
    project_id = await user.project()
    agent_id = await user.agent(project_id, phoneNumber="+12025550105")
    which = {"projectId": project_id, "agentId": agent_id}
    await user("PATCH", "/project/active-agent", {"projectId": project_id, "active_agent": agent_id})
    assert (await user("DELETE", "/agent", {"projectId": project_id}))[0] == 400
    assert (await stranger("DELETE", "/agent", which))[0] == 404
    status, answer = await user("DELETE", "/agent", which)
    assert (status, answer) == (200, {"message": "Agent Deleted", "status": "success"})
    assert (await user("DELETE", "/agent", which))[0] == 404
    assert (await user("POST", "/project/active-agent", {"projectId": project_id}))[0] == 404
    _, number = await user("POST", "/phone-number", {"projectId": project_id})
    assert (number["data"]["status"], number["data"]["agentId"]) == ("AVAILABLE", None)
    types = await db.fetch("SELECT type FROM outbox WHERE subject = $1 ORDER BY sequence", agent_id)
    assert [row["type"] for row in types] == ["agent.created", "agent.deleted"]
    projects = await db.fetch("SELECT type, data FROM outbox WHERE subject = $1 ORDER BY sequence", project_id)
    assert (projects[-1]["type"], projects[-1]["data"]["active_agent"]) == ("project.updated", None)


async def test_the_agents_of_a_project_are_a_bare_array(user: Any, stranger: Any) -> None:
    project_id = await user.project()
    status, answer = await user("GET", f"/agent/{project_id}")
    assert (status, answer["code"]) == (404, "agents_not_found")
    ids = [await user.agent(project_id) for _ in range(2)]
    status, agents = await user("GET", f"/agent/{project_id}")
    assert (status, [agent["id"] for agent in agents]) == (200, ids)
    assert (await stranger("GET", f"/agent/{project_id}"))[1]["code"] == "project_not_found"


async def test_a_call_is_prepared_with_the_named_or_the_active_agent(user: Any, service: Any) -> None:
    project_id = await user.project()
    first, second = await user.agent(project_id), await user.agent(project_id, phoneNumber="+12025550106")
    path = "/internal/calls/prepare"
    status, answer = await service("POST", path, {"projectId": project_id, "agentId": None})
    assert (status, answer["code"]) == (404, "active_agent_not_set")
    await user("PATCH", "/project/active-agent", {"projectId": project_id, "active_agent": first})
    status, prepared = await service("POST", path, {"projectId": project_id, "agentId": None})
    assert (status, prepared["project"]["id"], prepared["agent"]["id"]) == (200, project_id, first)
    assert prepared["agent"]["silenceTimeoutSeconds"] == 6
    assert prepared["from_number"] == "+12025550106", "a number of the project"
    await user("POST", "/phone-number/add-number", {"e164": "+12025550107", "agentId": second, "projectId": project_id})
    _, prepared = await service("POST", path, {"projectId": project_id, "agentId": second})
    assert prepared["from_number"] == "+12025550107", "the agent's own, the latest"


async def test_what_preparing_a_call_refuses(user: Any, service: Any, stranger: Any) -> None:
    project_id = await user.project()
    agent_id = await user.agent(project_id)
    path = "/internal/calls/prepare"
    _, prepared = await service("POST", path, {"projectId": project_id, "agentId": agent_id})
    assert prepared["from_number"] is None
    assert (await service("POST", path, {"projectId": project_id, "agentId": new_id()}))[1]["code"] == "agent_not_found"
    assert (await service("POST", path, {"projectId": new_id()}))[1]["code"] == "project_not_found"
    assert (await service("POST", path, {}))[0] == 400
    assert (await user("POST", path, {"projectId": project_id}))[0] == 401
    await user("DELETE", f"/project/{project_id}", {"cascade": True})
    status, answer = await service("POST", path, {"projectId": project_id, "agentId": agent_id})
    assert (status, answer["code"]) == (404, "project_not_found")


async def test_a_called_number_tells_its_project_and_agent(user: Any, service: Any, stranger: Any) -> None:
    project_id = await user.project()
    agent_id = await user.agent(project_id, phoneNumber="+12025550108")
    ask = ("POST", "/internal/calls/answer", {"e164": "+12025550108", "tenants": [stranger.id, user.id]})
    status, called = await service(*ask)
    assert (status, called["tenant"], called["projectId"]) == (200, user.id, project_id)
    assert called["agent"]["id"] == agent_id
    assert called["agent"]["silenceTimeoutSeconds"] == 6
    await user("DELETE", "/agent", {"projectId": project_id, "agentId": agent_id})
    assert await service(*ask) == (200, {"tenant": user.id, "projectId": project_id, "agent": None})
    await user("DELETE", f"/project/{project_id}", {"cascade": True})
    status, answer = await service(*ask)
    assert (status, answer["code"]) == (404, "phone_number_not_found")
    other = await stranger.project()
    await stranger.agent(other, phoneNumber="+12025550109")
    number = {"e164": "+12025550109"}
    status, answer = await service("POST", "/internal/calls/answer", {**number, "tenants": [user.id]})
    assert (status, answer["code"]) == (404, "phone_number_not_found")
    for tenants in ([], ["x"], None):
        assert (await service("POST", "/internal/calls/answer", {**number, "tenants": tenants}))[0] == 400


async def test_an_agent_is_shown_whatever_today_s_rules_are(user: Any, service: Any, db: Database) -> None:
    """What breaks one of them can be read, called with and replaced, but not written again."""
    project_id = await user.project()
    reference = {"projectId": project_id, "agentId": await user.agent(project_id, phoneNumber="+12025550102")}
    stored = {
        "temperature": 9,
        "language": "english",
        "turnTaking": {"strategy": "fixed", "waitMs": 1},
        "voicemail": {"action": "leave_message", "message": None},
    }
    await db.execute("UPDATE agent_versions SET settings = settings || $1", stored)
    status, agent = await user("POST", "/agent", reference)
    assert (status, {name: agent[name] for name in stored}) == (200, stored)
    _, versions = await user("GET", f"/agent/{reference['agentId']}/versions")
    assert {name: versions["data"][0][name] for name in stored} == stored
    _, prepared = await service("POST", "/internal/calls/prepare", reference)
    assert {name: prepared["agent"][name] for name in stored} == stored
    status, answer = await user("PUT", "/agent", {**reference, "name": "Eve"})
    assert (status, [error["field"] for error in answer["errors"]]) == (400, ["language", "temperature", "voicemail"])
    given = {"language": "en-US", "temperature": 1, "voicemail": {}, "name": "Eve"}
    status, answer = await user("PUT", "/agent", {**reference, **given})
    assert (status, answer["data"]["name"]) == (200, "Eve")
    status, _ = await user("DELETE", "/agent", reference)
    assert status == 200
