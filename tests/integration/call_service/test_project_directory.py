"""What workers ask of project_service over HTTP: keys of vendors and secrets of tools, which nothing may print."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from call_service.projects import HttpProjectDirectory, ProjectServiceUnavailableError, VendorKey
from shared.clock import SystemClock
from shared.tokens import InternalTokens
from tests.support.calls import SECRET, FakeProjects

KEY, PLACE = "vendor-key-1f3a", "https://models.example"


@asynccontextmanager
async def asking(projects: FakeProjects) -> AsyncIterator[HttpProjectDirectory]:
    tokens = InternalTokens(SECRET, "test", SystemClock().now)
    async with TestServer(projects.app()) as server, aiohttp.ClientSession() as session:
        yield HttpProjectDirectory(session, str(server.make_url("")), tokens)


async def test_keys_and_secrets_of_a_project_are_not_printed() -> None:
    keys = {"openai": {"api_key": KEY, "base_url": None}, "openai_compatible": {"api_key": "", "base_url": PLACE}}
    projects = FakeProjects(provider_keys=keys, tool_secrets={"crm": KEY})
    async with asking(projects) as directory:
        found = await directory.provider_keys(projects.tenant, projects.project_id)
        secrets = await directory.tool_secrets(projects.tenant, projects.project_id)
    assert found == {
        "openai": VendorKey(SecretStr(KEY), None),
        "openai_compatible": VendorKey(SecretStr(""), PLACE),
    }
    assert secrets["crm"].get_secret_value() == KEY
    assert KEY not in repr(found) + repr(secrets)


async def test_without_project_service_there_are_none() -> None:
    projects = FakeProjects(is_down=True)
    async with asking(projects) as directory:
        with pytest.raises(ProjectServiceUnavailableError):
            await directory.provider_keys(projects.tenant, projects.project_id)
        with pytest.raises(ProjectServiceUnavailableError):
            await directory.tool_secrets(projects.tenant, projects.project_id)
