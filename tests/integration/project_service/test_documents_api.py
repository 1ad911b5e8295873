"""Documents of agents: uploaded, cut, listed, deleted, and handed to workers."""

import asyncio
import resource
import sys
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from project_service.documents import pdf, reading, service
from project_service.documents.errors import DocumentUnreadableError
from project_service.documents.reading import MAX_BYTES, Reader
from shared import tokens
from shared.clock import SystemClock
from shared.db import Database
from shared.forms import UploadedFile
from shared.ids import new_id
from shared.tokens import InternalTokens, Principal
from tests.integration.project_service.conftest import SECRET, User
from tests.support.pdfs import encrypted, pdf_of

PRICES = "# Prices\n\nA filling is $120.\n\n# Hours\n\nWe open at nine."


async def upload(user: User, agent_id: str, content: bytes | str, name: str = "prices.md") -> tuple[int, Any]:
    form = aiohttp.FormData()
    form.add_field("file", BytesIO(content.encode() if isinstance(content, str) else content), filename=name)
    token = InternalTokens(SECRET, "gateway", SystemClock().now).sign(Principal(user.id, "token", None, user.scopes))
    async with user.client.post(f"/agent/{agent_id}/documents", data=form, headers={tokens.HEADER: token}) as answer:
        return answer.status, await answer.json()


async def passages(service: User, agent_id: str, known: str | None = None) -> Any:
    status, answer = await service("POST", f"/internal/agents/{agent_id}/passages", {"known": known})
    assert status == 200
    return answer


async def test_a_document_is_uploaded_listed_read_by_workers_and_deleted(user: User, service: User) -> None:
    agent_id = await user.agent(await user.project())
    nothing = await passages(service, agent_id)
    assert nothing == {"revision": "", "passages": []}
    status, document = await upload(user, agent_id, PRICES)
    assert (status, document["name"], document["kind"]) == (201, "prices.md", "markdown")
    assert (document["bytes"], document["passages"]) == (len(PRICES), 2)
    status, second = await upload(user, agent_id, "We are at the lake.", "place.txt")
    assert await user("GET", f"/agent/{agent_id}/documents") == (200, {"data": [document, second]})

    found = await passages(service, agent_id)
    assert found["passages"] == [
        {"document": "prices.md", "text": "Prices: A filling is $120."},
        {"document": "prices.md", "text": "Hours: We open at nine."},
        {"document": "place.txt", "text": "We are at the lake."},
    ]
    again = await passages(service, agent_id, found["revision"])
    assert again == {"revision": found["revision"], "passages": None}

    assert (await user("DELETE", f"/agent/{agent_id}/documents/{document['id']}"))[0] == 204
    less = await passages(service, agent_id, found["revision"])
    assert less["revision"] != found["revision"]
    assert [one["document"] for one in less["passages"]] == ["place.txt"]
    status, answer = await user("DELETE", f"/agent/{agent_id}/documents/{document['id']}")
    assert (status, answer["code"]) == (404, "document_not_found")


async def test_the_text_of_a_pdf_is_read_page_by_page(user: User, service: User) -> None:
    agent_id = await user.agent(await user.project())
    status, document = await upload(user, agent_id, pdf_of("A filling is 120 dollars.", "We open\nat nine."), "a.PDF")
    assert (status, document["kind"], document["passages"]) == (201, "pdf", 1)
    found = await passages(service, agent_id)
    assert [one["text"] for one in found["passages"]] == ["A filling is 120 dollars. We open at nine."]


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        ("text", "a.docx", "Send a .txt, .md or .pdf file"),
        (b"\xff\xfe\x00", "a.txt", "not UTF-8"),
        (b"a\x00b", "a.txt", "no text"),
        (" \n ", "a.md", "no text to be read"),
        (b"%PDF-1.7 broken", "a.pdf", "no PDF, or it is broken"),
        (pdf_of(" "), "a.pdf", "no text to be read"),
        (encrypted(pdf_of("secret")), "a.pdf", "encrypted"),
    ],
    ids=["kind", "encoding", "binary", "empty", "broken", "picture", "encrypted"],
)
async def test_a_file_without_text_is_refused(user: User, content: bytes | str, name: str, told: str) -> None:
    agent_id = await user.agent(await user.project())
    status, answer = await upload(user, agent_id, content, name)
    assert (status, answer["code"]) == (422, "document_unreadable")
    assert told in answer["message"]


async def test_a_pdf_that_takes_too_long_is_given_up(tmp_path: Any) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_of(*["A page."] * 2_000))
    with path.open("rb") as content:
        with pytest.raises(DocumentUnreadableError, match="too long"):
            await Reader(pdf_seconds=0.05).read("tenant", UploadedFile("a.pdf", content, ""))
        kind, size, _ = await Reader().read("tenant", UploadedFile("a.pdf", content, ""))
    assert (kind, size) == ("pdf", path.stat().st_size)


def test_pdfs_are_read_where_memory_can_not_be_limited(monkeypatch: pytest.MonkeyPatch, capsysbinary: Any) -> None:
    """On macOS every PDF was a broken one."""

    def setrlimit(which: int, _limits: tuple[int, int]) -> None:
        if which == resource.RLIMIT_AS:
            raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(pdf, "resource", SimpleNamespace(**{**vars(resource), "setrlimit": setrlimit}))
    monkeypatch.setattr(pdf.logging, "disable", lambda: None)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO(pdf_of("A page."))))
    assert pdf.main() == 0
    assert capsysbinary.readouterr().out.strip() == b"A page."


async def test_a_failure_of_the_reader_is_not_blamed_on_the_file(
    user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "fails.py"
    program.write_text("import no_such_package")
    monkeypatch.setattr(reading, "_PROGRAM", program)
    agent_id = await user.agent(await user.project())
    with capture_logs() as logs:
        status, answer = await upload(user, agent_id, pdf_of("A page."), "a.pdf")
    assert (status, answer["code"]) == (500, "internal_error")
    assert [(entry["event"], entry["exit_status"]) for entry in logs if "exit_status" in entry] == [
        ("pdf_reader_failed", 1)
    ]


async def test_the_same_content_is_not_kept_twice(user: User) -> None:
    project_id = await user.project()
    agent_id, other = await user.agent(project_id), await user.agent(project_id)
    assert (await upload(user, agent_id, PRICES))[0] == 201
    status, answer = await upload(user, agent_id, PRICES, "copy.md")
    assert (status, answer["code"]) == (409, "document_exists")
    assert (await upload(user, other, PRICES))[0] == 201


async def test_an_agents_documents_are_limited(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_DOCUMENTS", 2)
    monkeypatch.setattr(service, "MAX_PASSAGES", 3)
    agent_id = await user.agent(await user.project())
    assert (await upload(user, agent_id, PRICES))[0] == 201
    status, answer = await upload(user, agent_id, f"{PRICES}\n# More\nWe close at five.")
    assert (status, answer["code"]) == (409, "too_many_documents")
    assert "it has 1 with 2, and this one has 3" in answer["message"]
    assert (await upload(user, agent_id, "One."))[0] == 201
    assert (await upload(user, agent_id, "Two."))[0] == 409


async def test_a_file_that_is_too_large_is_refused(user: User) -> None:
    agent_id = await user.agent(await user.project())
    assert (await upload(user, agent_id, b"a" * (MAX_BYTES + 1), "a.txt"))[0] == 422
    assert (await upload(user, agent_id, b"a" * (MAX_BYTES + 100_000), "a.txt"))[0] == 413


async def test_a_file_is_required(user: User) -> None:
    agent_id = await user.agent(await user.project())
    status, _ = await user("POST", f"/agent/{agent_id}/documents", {})
    assert status == 415
    form = aiohttp.FormData({"file": "only its words"}, default_to_multipart=True)
    token = InternalTokens(SECRET, "gateway", SystemClock().now).sign(Principal(user.id, "token", None, ("*",)))
    async with user.client.post(f"/agent/{agent_id}/documents", data=form, headers={tokens.HEADER: token}) as answer:
        assert (answer.status, "file" in (await answer.json())["message"]) == (422, True)


async def test_strangers_see_no_documents(user: User, stranger: User, service: User) -> None:
    agent_id = await user.agent(await user.project())
    _, document = await upload(user, agent_id, PRICES)
    for asked in (
        await upload(stranger, agent_id, "Mine."),
        await stranger("GET", f"/agent/{agent_id}/documents"),
        await stranger("DELETE", f"/agent/{agent_id}/documents/{document['id']}"),
        await User(stranger.client, stranger.id, "service")("POST", f"/internal/agents/{agent_id}/passages", {}),
        await user("GET", "/agent/nothing/documents"),
        await user("GET", f"/agent/{new_id()}/documents"),
    ):
        assert (asked[0], asked[1]["code"]) == (404, "agent_not_found")
    assert (await user("POST", f"/internal/agents/{agent_id}/passages", {}))[0] == 401


@pytest.mark.parametrize("what", ["agent", "project"])
async def test_documents_go_with_their_agent(user: User, db: Database, what: str) -> None:
    project_id = await user.project()
    agent_id = await user.agent(project_id)
    await upload(user, agent_id, PRICES)
    if what == "agent":
        await user("DELETE", "/agent", {"projectId": project_id, "agentId": agent_id})
    else:
        await user("DELETE", f"/project/{project_id}", {"cascade": True})
    assert await db.fetchval("SELECT count(*) FROM documents WHERE agent_id = $1", agent_id) == 0
    assert await db.fetchval("SELECT count(*) FROM document_passages WHERE tenant = $1", user.id) == 0


@pytest.mark.parametrize("name", ['filename="\udcff.md"', "filename*=utf-8''a%00.md"], ids=["no utf-8", "nul"])
async def test_a_name_that_the_database_can_not_store_is_refused(user: User, name: str) -> None:
    agent_id = await user.agent(await user.project())
    token = InternalTokens(SECRET, "gateway", SystemClock().now).sign(Principal(user.id, "token", None, user.scopes))
    headers = {tokens.HEADER: token, "Content-Type": "multipart/form-data; boundary=x"}
    form = f'--x\r\nContent-Disposition: form-data; name="file"; {name}\r\n\r\nHello\r\n--x--\r\n'
    body = form.encode(errors="surrogateescape")
    async with user.client.post(f"/agent/{agent_id}/documents", data=body, headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "malformed_form")


async def test_pdfs_of_one_user_do_not_make_others_wait(user: User, stranger: User) -> None:
    agent_id = await user.agent(await user.project())
    other = await stranger.agent(await stranger.project())
    slow = pdf_of(*["A page."] * 400)
    mine = [asyncio.create_task(upload(user, agent_id, slow + b"\n" * at, f"{at}.pdf")) for at in range(7)]
    await asyncio.wait(mine, return_when=asyncio.FIRST_COMPLETED)  # one that is refused
    assert (await upload(stranger, other, pdf_of("Hello.")))[0] == 201
    assert not all(task.done() for task in mine)
    answers = await asyncio.gather(*mine)
    assert sorted(status for status, _ in answers) == [201] * 5 + [503] * 2
    assert {answer["code"] for status, answer in answers if status == 503} == {"document_readers_busy"}
