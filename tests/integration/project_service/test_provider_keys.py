"""Keys of vendors: set, shown in part, tried at the vendor, handed to workers, gone with the project."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from project_service.settings import ProjectSettings
from shared.db import Database
from shared.ids import new_id
from tests.integration.project_service.conftest import ServeApi, User
from tests.support.fake_bot import BotFault, BotStream, fake_bot
from tests.support.fake_vendors import KEY, FakeVendors, Fault, fake_vendors

SHOWN = KEY[-4:]
CHOICE = {
    "stt": {"provider": "deepgram", "fallbacks": [{"provider": "openai"}]},
    "llm": {"provider": "anthropic"},
    "tts": {"provider": "elevenlabs", "voice": "JBFqnCBsd6RMkjVDRZzb"},
}


@pytest.fixture
async def vendors() -> AsyncIterator[FakeVendors]:
    async with fake_vendors() as vendors:
        yield vendors


@pytest.fixture
def settings(environment: dict[str, Any], vendors: FakeVendors) -> ProjectSettings:
    return ProjectSettings(**environment, provider_base_urls=vendors.base_urls, provider_allow_private=True)


async def test_a_key_is_set_replaced_listed_and_deleted_but_never_shown(user: User) -> None:
    path = f"/project/{await user.project()}/provider-keys"
    status, answer = await user("PUT", f"{path}/deepgram", {"apiKey": KEY})
    assert (status, answer) == (
        200,
        {"provider": "deepgram", "lastFour": SHOWN, "baseUrl": None, "setAt": answer["setAt"]},
    )
    await user("PUT", f"{path}/anthropic", {"apiKey": "short"})
    _, replaced = await user("PUT", f"{path}/deepgram", {"apiKey": "another-key-of-some-length"})
    assert replaced["lastFour"] == "ngth"
    assert replaced["setAt"] > answer["setAt"]
    _, listed = await user("GET", path)
    assert [(key["provider"], key["lastFour"]) for key in listed["data"]] == [("anthropic", ""), ("deepgram", "ngth")]
    assert await user("GET", f"{path}/deepgram") == (200, replaced)
    assert await user("DELETE", f"{path}/deepgram") == (204, None)
    status, answer = await user("GET", f"{path}/deepgram")
    assert (status, answer["code"]) == (404, "provider_key_not_found")
    status, answer = await user("DELETE", f"{path}/deepgram")
    assert (status, answer["code"]) == (404, "provider_key_not_found")


async def test_a_key_is_encrypted_at_rest_and_in_no_event(user: User, db: Database) -> None:
    project_id = await user.project()
    await user("PUT", f"/project/{project_id}/provider-keys/deepgram", {"apiKey": KEY})
    tables = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'projects'")
    for table in tables:
        rows = await db.fetch(f'SELECT t::text AS row FROM projects."{table["tablename"]}" t')
        assert not any(KEY in row["row"] for row in rows), table["tablename"]


@pytest.mark.parametrize(
    ("provider", "body", "field"),
    [
        ("deepgram", {}, "apiKey"),
        ("deepgram", {"apiKey": "  "}, "apiKey"),
        ("deepgram", {"apiKey": "a\nb"}, "apiKey"),
        ("deepgram", {"apiKey": "schlüssel"}, "apiKey"),
        ("deepgram", {"apiKey": "x" * 501}, "apiKey"),
        ("deepgram", {"apiKey": KEY, "baseUrl": "https://example.com"}, "baseUrl"),
        ("deepgram", {"apiKey": KEY, "secret": 1}, "secret"),
        ("openai_compatible", {"apiKey": KEY}, "baseUrl"),
        ("openai_compatible", {"baseUrl": "no URL"}, "baseUrl"),
        ("azure_openai", {"apiKey": KEY, "baseUrl": "https://user:password@example.com"}, "baseUrl"),
        ("openai_compatible", {"baseUrl": "wss://example.com"}, "baseUrl"),
        ("pipecat", {}, "baseUrl"),
        ("pipecat", {"apiKey": KEY}, "baseUrl"),
        ("pipecat", {"baseUrl": "wss://user:password@example.com/ws"}, "baseUrl"),
        ("pipecat", {"baseUrl": "wss://"}, "baseUrl"),
        ("pipecat", {"baseUrl": "ftp://example.com"}, "baseUrl"),
    ],
)
async def test_a_key_that_cannot_be_right_is_refused_naming_the_field(
    user: User, provider: str, body: dict[str, Any], field: str
) -> None:
    status, answer = await user("PUT", f"/project/{await user.project()}/provider-keys/{provider}", body)
    assert (status, answer["code"]) == (422, "invalid_request")
    assert [error["field"] for error in answer["errors"]] == [field]
    assert KEY not in str(answer)


async def test_what_is_not_there_is_not_found(user: User, stranger: User) -> None:
    project_id = await user.project()
    await user("PUT", f"/project/{project_id}/provider-keys/deepgram", {"apiKey": KEY})
    path = f"/project/{project_id}/provider-keys"
    for method, where, body in [
        ("GET", path, None),
        ("GET", f"{path}/deepgram", None),
        ("PUT", f"{path}/deepgram", {"apiKey": KEY}),
        ("POST", f"{path}/deepgram/test", None),
        ("DELETE", f"{path}/deepgram", None),
    ]:
        status, answer = await stranger(method, where, body)
        assert (status, answer["code"]) == (404, "project_not_found"), method
        status, answer = await user(method, where.replace(project_id, "nonsense"), body)
        assert (status, answer["code"]) == (404, "project_not_found"), method
    status, answer = await user("PUT", f"{path}/nobody", {"apiKey": KEY})
    assert (status, answer["code"]) == (404, "provider_not_found")


@pytest.mark.parametrize(
    "provider", ["anthropic", "assemblyai", "cartesia", "deepgram", "elevenlabs", "groq", "openai"]
)
async def test_the_vendor_itself_is_asked_whether_a_key_works(user: User, vendors: FakeVendors, provider: str) -> None:
    path = f"/project/{await user.project()}/provider-keys/{provider}"
    await user("PUT", path, {"apiKey": KEY})
    status, answer = await user("POST", f"{path}/test")
    assert (status, answer["result"], answer["httpStatus"]) == (200, "works", 200)
    await user("PUT", path, {"apiKey": "not-a-key-of-this-vendor"})
    _, answer = await user("POST", f"{path}/test")
    assert (answer["result"], answer["httpStatus"]) == ("refused", 401)
    assert len(vendors.requests) == 2


async def test_a_vendor_that_does_not_answer_rightly_says_nothing_about_the_key(
    user: User, vendors: FakeVendors
) -> None:
    path = f"/project/{await user.project()}/provider-keys/deepgram"
    await user("PUT", path, {"apiKey": KEY})
    for fault, result, status in [(Fault.DROP, "unreachable", None), (Fault.BUSY, "unclear", 429)]:
        vendors.fault = fault
        _, answer = await user("POST", f"{path}/test")
        assert (answer["result"], answer["httpStatus"]) == (result, status)


async def test_a_server_of_ones_own_is_tried_at_its_place_and_needs_no_key(user: User, vendors: FakeVendors) -> None:
    path = f"/project/{await user.project()}/provider-keys/azure_openai"
    await user("PUT", path, {"apiKey": KEY, "baseUrl": f"{vendors.url}/openai?api-version=2024-10-21"})
    _, answer = await user("POST", f"{path}/test")
    assert answer["result"] == "works"
    assert vendors.requests[0][0] == "/openai/models?api-version=2024-10-21"
    assert vendors.headers[0]["api-key"] == KEY
    own = path.replace("azure_openai", "openai_compatible")
    status, answer = await user("PUT", own, {"baseUrl": f"{vendors.url}/llama.cpp"})
    assert (status, answer["lastFour"]) == (200, "")
    _, answer = await user("POST", f"{own}/test")
    assert (answer["result"], answer["httpStatus"]) == ("unclear", 404)


async def test_a_bot_is_tried_by_opening_its_websocket(user: User) -> None:
    async def talk(_stream: BotStream) -> None:
        raise AssertionError("the call did not begin")

    path = f"/project/{await user.project()}/provider-keys/pipecat"
    async with fake_bot(talk) as bot:
        status, answer = await user("PUT", path, {"baseUrl": f"{bot.url}?tier=gold", "apiKey": KEY})
        assert (status, answer["baseUrl"]) == (200, f"{bot.url}?tier=gold")
        _, answer = await user("POST", f"{path}/test")
        assert (answer["result"], answer["httpStatus"]) == ("works", 101)
        assert bot.headers[0]["Authorization"] == f"Bearer {KEY}"
        assert bot.streams[0].messages == []
        await user("PUT", path, {"baseUrl": bot.url.replace("ws://", "http://")})
        faults = [
            (BotFault.NONE, "works", 101),
            (BotFault.EXPIRED, "refused", 401),
            (BotFault.DROP, "unreachable", None),
        ]
        for fault, result, status in faults:
            bot.fault = fault
            _, answer = await user("POST", f"{path}/test")
            assert (answer["result"], answer["httpStatus"]) == (result, status)
            assert "Authorization" not in bot.headers[-1]
        await user("PUT", path, {"baseUrl": f"{bot.url}/elsewhere"})
        _, answer = await user("POST", f"{path}/test")
        assert (answer["result"], answer["httpStatus"]) == ("unclear", 404)
    _, answer = await user("POST", f"{path}/test")
    assert (answer["result"], answer["httpStatus"]) == ("unreachable", None)


async def test_private_places_are_not_reached_unless_the_operator_allows_it(
    environment: dict[str, Any], vendors: FakeVendors, db: Database, serve_api: ServeApi
) -> None:
    async with serve_api(ProjectSettings(**environment)) as client:
        user = User(client, new_id())
        path = f"/project/{await user.project()}/provider-keys/openai_compatible"
        for url in (vendors.url, "https://169.254.169.254/v1", "https://localhost/v1"):
            status, answer = await user("PUT", path, {"baseUrl": url})
            assert (status, answer["errors"][0]["field"]) == (422, "baseUrl"), url
        bots = path.replace("openai_compatible", "pipecat")
        status, answer = await user("PUT", bots, {"baseUrl": "wss://169.254.169.254/ws"})
        assert (status, answer["errors"][0]["field"]) == (422, "baseUrl")
        await user("PUT", bots, {"baseUrl": "wss://93.184.215.14/ws"})
        await user("PUT", path, {"apiKey": KEY, "baseUrl": "https://93.184.215.14/v1"})
        await db.execute("UPDATE provider_keys SET base_url = $1", f"{vendors.url}/openai")  # as if the name had moved
        for tried in (path, bots):
            _, answer = await user("POST", f"{tried}/test")
            assert answer["result"] == "unreachable"
    assert not vendors.requests


async def test_workers_get_all_keys_and_nobody_else_does(user: User, service: User, stranger: User) -> None:
    project_id = await user.project()
    await user("PUT", f"/project/{project_id}/provider-keys/deepgram", {"apiKey": KEY})
    path = f"/internal/projects/{project_id}/provider-keys"
    assert await service("GET", path) == (200, {"keys": {"deepgram": {"api_key": KEY, "base_url": None}}})
    assert (await user("GET", path))[0] == 401
    assert await User(stranger.client, stranger.id, "service")("GET", path) == (200, {"keys": {}})


async def test_a_call_is_prepared_only_with_all_keys_that_its_agent_may_need(user: User, service: User) -> None:
    project_id = await user.project()
    agent_id = await user.agent(project_id, providers=CHOICE)
    wanted = {"projectId": project_id, "agentId": agent_id}
    for provider, missing in [
        ("deepgram", "anthropic, deepgram, elevenlabs, openai"),
        ("anthropic", "anthropic, elevenlabs, openai"),
        ("elevenlabs", "elevenlabs, openai"),
        ("openai", "openai"),
    ]:
        status, answer = await service("POST", "/internal/calls/prepare", wanted)
        assert (status, answer["code"]) == (409, "provider_key_missing")
        assert f"no key for {missing}," in answer["message"]
        await user("PUT", f"/project/{project_id}/provider-keys/{provider}", {"apiKey": KEY})
    status, answer = await service("POST", "/internal/calls/prepare", wanted)
    assert status == 200
    assert answer["agent"]["providers"]["tts"]["voice"] == "JBFqnCBsd6RMkjVDRZzb"
    assert KEY not in str(answer)


async def test_keys_go_with_their_project(user: User, service: User, db: Database) -> None:
    project_id = await user.project()
    await user("PUT", f"/project/{project_id}/provider-keys/deepgram", {"apiKey": KEY})
    await user("DELETE", f"/project/{project_id}", {})
    assert await db.fetchval("SELECT count(*) FROM provider_keys") == 0
    assert await service("GET", f"/internal/projects/{project_id}/provider-keys") == (200, {"keys": {}})
