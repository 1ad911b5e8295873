"""What is asked of project_service once, and what again."""

import asyncio

import pytest

from call_service.kept import Kept
from call_service.projects import ProjectServiceUnavailableError


class Projects:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.is_down = False

    async def ask(self, tenant: str, project_id: str) -> str:
        self.asked.append((tenant, project_id))
        await asyncio.sleep(0)
        if self.is_down:
            raise ProjectServiceUnavailableError
        return f"{tenant}'s {project_id}"


async def test_calls_of_a_project_that_begin_together_ask_once() -> None:
    projects = Projects()
    kept = Kept(projects.ask)
    asking = [kept.of("tenant", "project") for _ in range(5)]
    found = await asyncio.gather(*asking, kept.of("tenant", "another"), kept.of("stranger", "project"))
    assert found == [*["tenant's project"] * 5, "tenant's another", "stranger's project"]
    assert await kept.of("tenant", "project") == "tenant's project"
    assert sorted(projects.asked) == [("stranger", "project"), ("tenant", "another"), ("tenant", "project")]


async def test_a_failure_is_not_kept() -> None:
    projects = Projects()
    kept, projects.is_down = Kept(projects.ask), True
    with pytest.raises(ProjectServiceUnavailableError):
        await kept.of("tenant", "project")
    projects.is_down = False
    assert await kept.of("tenant", "project") == "tenant's project"
