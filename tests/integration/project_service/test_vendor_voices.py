"""`GET /voices` of vendors, with the key of a project."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from project_service.settings import ProjectSettings
from tests.integration.project_service.conftest import User
from tests.support.fake_vendors import KEY, FakeVendors, Fault, fake_vendors


@pytest.fixture
async def vendors() -> AsyncIterator[FakeVendors]:
    async with fake_vendors() as vendors:
        yield vendors


@pytest.fixture
def settings(environment: dict[str, Any], vendors: FakeVendors) -> ProjectSettings:
    return ProjectSettings(**environment, provider_base_urls=vendors.base_urls, provider_allow_private=True)


async def listed(user: User, vendors: FakeVendors, provider: str) -> tuple[str, list[dict[str, Any]]]:
    project_id = await user.project(f"Desk with {provider}")
    await user("PUT", f"/project/{project_id}/provider-keys/{provider}", {"apiKey": KEY})
    path = f"/voices?provider={provider}&projectId={project_id}"
    status, answer = await user("GET", path)
    assert (status, answer["message"]) == (200, "successfully fetched voice list.")
    assert KEY in "".join(vendors.headers[-1].values())
    assert KEY not in str(answer)
    return path, answer["voices"]


async def test_elevenlabs_lists_its_voices_with_labels_and_they_are_kept(user: User, vendors: FakeVendors) -> None:
    path, [voice] = await listed(user, vendors, "elevenlabs")
    assert voice == {
        "name": "George",
        "labels": {
            "accent": "british",
            "description": "mature",
            "age": "",
            "gender": "male",
            "use_case": "narration",
        },
        "voice_id": "JBFqnCBsd6RMkjVDRZzb",
        "preview_url": "https://storage.example/george.mp3",
        "provider": "elevenlabs",
        "language": "",
    }
    assert (await user("GET", path))[1]["voices"] == [voice]
    assert len(vendors.requests) == 1


async def test_cartesia_and_deepgram_list_theirs(user: User, vendors: FakeVendors) -> None:
    _, [sarah] = await listed(user, vendors, "cartesia")
    assert (sarah["voice_id"], sarah["labels"]["gender"], sarah["language"], sarah["preview_url"]) == (
        "694f9389-aac1",
        "feminine",
        "en",
        None,
    )
    _, [angus, bare] = await listed(user, vendors, "deepgram")
    assert (angus["voice_id"], angus["labels"]["accent"], angus["language"]) == ("aura-angus-en", "Irish", "en-IE")
    assert (bare["voice_id"], bare["preview_url"]) == ("aura-bare-en", None)


async def test_the_names_of_openai_need_no_key(user: User, vendors: FakeVendors) -> None:
    _, answer = await user("GET", "/voices?provider=openai")
    assert {"alloy", "marin"} <= {voice["voice_id"] for voice in answer["voices"]}
    assert vendors.requests == []


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.GARBAGE, Fault.BUSY, Fault.EXPIRED])
async def test_a_vendor_that_fails_is_told_and_asked_again(user: User, vendors: FakeVendors, fault: Fault) -> None:
    project_id = await user.project()
    await user("PUT", f"/project/{project_id}/provider-keys/elevenlabs", {"apiKey": KEY})
    path = f"/voices?provider=elevenlabs&projectId={project_id}"
    vendors.fault = fault
    status, answer = await user("GET", path)
    assert (status, answer["code"]) == (502, "vendor_voices_unavailable")
    assert KEY not in str(answer)
    vendors.fault = Fault.NONE
    assert (await user("GET", path))[0] == 200


async def test_what_is_missing_is_said(user: User, vendors: FakeVendors) -> None:
    project_id = await user.project()
    status, answer = await user("GET", f"/voices?provider=elevenlabs&projectId={project_id}")
    assert (status, answer["code"]) == (404, "provider_key_not_found")
    fields = {"provider=elevenlabs": "projectId", "provider=nobody": "provider", "projectId=x": "projectId", "x=1": "x"}
    for query, field in fields.items():
        status, answer = await user("GET", f"/voices?{query}")
        assert (status, [error["field"] for error in answer["errors"]]) == (422, [field]), query
    assert vendors.requests == []
