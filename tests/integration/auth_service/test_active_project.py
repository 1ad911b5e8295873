"""The active project; project_service is a small server that knows one project of one user."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from shared.tokens import HEADER, InternalTokens, Principal

PROJECT_ID = "0192f0c1-1111-7c44-9f3e-1b2a4c5d6e7f"
OTHER_ID = "0192f0c1-2222-7c44-9f3e-1b2a4c5d6e7f"


@dataclass
class Projects:
    """Answers as project_service does, checking who asks."""

    owner: str = ""
    status: int = 200
    asked: list[web.Request] = field(default_factory=list)

    async def get(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        secret = "an internal secret of the tests, long enough"
        principal = InternalTokens(secret, "x", lambda: datetime.now(UTC)).verify(request.headers[HEADER])
        is_theirs = principal == Principal(self.owner, "service") and request.match_info["id"] == PROJECT_ID
        if self.status != 200 or not is_theirs:
            return web.json_response({"code": "project_not_found"}, status=404 if self.status == 200 else self.status)
        project = {
            "id": PROJECT_ID,
            "name": "Front desk",
            "user_id": self.owner,
            "status": "ACTIVE",
            "description": "",
            "call_status_webhook": None,
            "is_deleted": False,
        }
        return web.json_response(project)


@pytest.fixture
async def projects() -> AsyncIterator[tuple[Projects, TestServer]]:
    known = Projects()
    app = web.Application()
    app.router.add_get("/internal/projects/{id}", known.get)
    async with TestServer(app) as server:
        yield known, server


@pytest.fixture
def setting_changes(projects: tuple[Projects, TestServer]) -> dict[str, Any]:
    return {"project_url": str(projects[1].make_url("")).rstrip("/")}


async def test_a_project_is_set_and_got_as_documented(auth: Any, projects: tuple[Projects, TestServer]) -> None:
    user = await auth.sign_up()
    projects[0].owner = user.user_id
    body = {"projectId": PROJECT_ID}
    answer = await auth.post("/user/set-active-project", body, user=user, **{"X-Request-Id": "from-the-gateway"})
    assert answer.status == 200
    assert answer.body["message"] == f"successfully set project with id {PROJECT_ID} active."
    assert set(answer.body["userData"]) == {
        "id",
        "name",
        "email",
        "verified",
        "created_at",
        "updated_at",
        "active_project",
    }
    assert (answer.body["userData"]["verified"], answer.body["userData"]["active_project"]) == (True, PROJECT_ID)
    assert projects[0].asked[-1].headers["X-Request-Id"] == "from-the-gateway"
    got = await auth.ask("GET", "/user/get-active-project", user=user)
    assert (got.status, got.body["message"]) == (200, "fetched active project data.")
    assert got.body["projectData"] == answer.body["projectData"]
    assert set(got.body["projectData"]) == {"name", "user_id", "status", "description", "call_status_webhook", "id"}


async def test_unknown_projects_and_other_peoples_are_400(auth: Any, projects: tuple[Projects, TestServer]) -> None:
    user = await auth.sign_up()
    projects[0].owner = "0192f0c1-3333-7c44-9f3e-1b2a4c5d6e7f"
    for project_id in (PROJECT_ID, OTHER_ID, "nonsense", "../../health/live"):
        answer = await auth.post("/user/set-active-project", {"projectId": project_id}, user=user)
        assert (answer.status, answer.body["code"]) == (400, "project_not_found")
    assert (await auth.post("/user/set-active-project", {}, user=user)).body["code"] == "invalid_request"
    assert len(projects[0].asked) == 2


async def test_none_set_or_deleted_since_is_404(auth: Any, projects: tuple[Projects, TestServer]) -> None:
    user = await auth.sign_up()
    projects[0].owner = user.user_id
    assert (await auth.ask("GET", "/user/get-active-project", user=user)).body["code"] == "active_project_not_set"
    await auth.post("/user/set-active-project", {"projectId": PROJECT_ID}, user=user)
    projects[0].owner = ""
    assert (await auth.ask("GET", "/user/get-active-project", user=user)).status == 404
    assert (await auth.ask("GET", "/user/get-active-project")).status == 401


async def test_a_project_service_that_fails_or_is_away(auth: Any, projects: tuple[Projects, TestServer]) -> None:
    user = await auth.sign_up()
    known, server = projects
    known.status = 500
    body = {"projectId": PROJECT_ID}
    assert (await auth.post("/user/set-active-project", body, user=user)).status == 502
    await server.close()
    answer = await auth.post("/user/set-active-project", body, user=user)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
