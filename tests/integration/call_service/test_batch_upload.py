"""POST /call/batch-call against a real database: files of all kinds, a verdict for each row, nothing half done."""

import asyncio
import contextlib
import datetime as dt
import io
import zipfile
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from call_service.batches import upload as uploads
from call_service.batches.routes import BATCHES
from shared.db import Database
from shared.memory_bus import InMemoryBus
from shared.testing.waiting import eventually
from tests.support.batches import ALWAYS, csv_of, form_of, upload, xlsx_of
from tests.support.calls import Customer, FakeProjects

ANNA = "+12025550100"
BOB = "+12025550101"


async def refusal(customer: Customer, form: aiohttp.FormData) -> tuple[int, Any]:
    async with customer.open("POST", "/call/batch-call", data=form) as response:
        return response.status, await response.json()


async def contacts(db: Database) -> list[tuple[Any, ...]]:
    rows = await db.fetch("SELECT line, number, state, variables FROM batch_contacts ORDER BY line")
    return [tuple(row) for row in rows]


async def test_every_row_gets_a_verdict(customer: Customer, projects: FakeProjects, db: Database) -> None:
    projects.agent["systemInstruction"] = "Remind {{name}} of {{what}}."
    content = (
        "number,name,dynamicVariables\n"
        f'{ANNA},Anna,"{{""what"": ""tea"", ""cups"": 2}}"\n'
        f"{BOB},Bob,\n"
        "2025550102,Carl,\n"
        "\n"
        f',Dora,"{{""what"": 1}}"\n'
        "+12025550103,Emil,not json\n"
        f'{ANNA},Fay,"{{""what"": ""milk""}}"\n'
    )
    batch = await upload(customer, projects, content.encode())
    assert (batch["status"], batch["total"], batch["accepted"], batch["rejectedCount"]) == ("running", 6, 1, 5)
    assert [(row["row"], row["number"]) for row in batch["rejected"]] == [
        (3, BOB),
        (4, "2025550102"),
        (6, ""),
        (7, "+12025550103"),
        (8, ANNA),
    ]
    reasons = [row["reason"] for row in batch["rejected"]]
    assert "what" in reasons[0]
    assert "national format" in reasons[1]
    assert "missing" in reasons[2]
    assert "JSON" in reasons[3]
    assert "Row 2" in reasons[4]
    assert (await contacts(db))[0] == (2, ANNA, "pending", {"name": "Anna", "what": "tea", "cups": "2"})
    assert await db.fetchval("SELECT count(*) FROM calls") == 0


@pytest.mark.parametrize(
    "content",
    [
        "number,name\n+12025550100,Zoë\n".encode(),
        "\ufeffnumber,name\r\n+12025550100,Zoë\r\n".encode(),
        "number;name\n+12025550100;Zoë\n".encode(),
        "number\tname\n+12025550100\tZoë\n".encode("utf-16"),
        '"number"|"name"\n"+12025550100"|"Zoë"'.encode(),
        "Number,name\n+12025550100,Zoë\n".encode("latin-1"),
        "name,number,\rZoë,+12025550100,\r".encode("cp1252"),
        ' number , name \n\n +12025550100 ,Zoë\n,\n"",""\n'.encode(),
    ],
)
async def test_csv_of_every_dialect(customer: Customer, projects: FakeProjects, db: Database, content: bytes) -> None:
    batch = await upload(customer, projects, content)
    assert (batch["accepted"], batch["rejected"]) == (1, [])
    [(_line, number, _state, variables)] = await contacts(db)
    assert (number, variables["name"]) == (ANNA, "Zoë")


async def test_an_xlsx_file(customer: Customer, projects: FakeProjects, db: Database) -> None:
    content = xlsx_of(
        [
            ["number", "name", "visits", "since", "vip", "dynamicVariables"],
            [ANNA, "Zoë", 3, dt.date(2026, 1, 2), True, '{"a": 1.5}'],
            [],
            [12025550101, None, 2.0, None, None, None],
        ]
    )
    batch = await upload(customer, projects, content, "People.XLSX")
    assert (batch["total"], batch["accepted"]) == (2, 1)
    assert (batch["rejected"][0]["row"], batch["rejected"][0]["number"]) == (4, "12025550101")
    assert (await contacts(db))[0][3] == {
        "name": "Zoë",
        "visits": "3",
        "since": "2026-01-02T00:00:00",
        "vip": "true",
        "a": "1.5",
    }


def bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("sheet1.xml", "w") as sheet:
        for _ in range(300):
            sheet.write(bytes(1 << 20))
    return file.getvalue()


def xlsx_with(name: str, content: bytes) -> bytes:
    """A workbook of which one part was replaced."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(xlsx_of([["number"], [ANNA]]))) as source, zipfile.ZipFile(file, "w") as target:
        for entry in source.namelist():
            target.writestr(entry, content if entry == name else source.read(entry))
    return file.getvalue()


ENTITIES = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">%s]><worksheet>&j;</worksheet>""" % b"".join(
    b'<!ENTITY %c "%s">' % (letter, b"&%c;" % (letter - 1) * 10) for letter in b"bcdefghij"
)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.pdf", b"%PDF", "unsupported_type"),
        ("noname", b"number\n", "unsupported_type"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"\n\n , \n", "empty"),
        ("a.csv", b"number\n", "empty"),
        ("a.csv", b"number\n\n,\n", "empty"),
        ("a.csv", b"phone\n+12025550100\n", "missing_column"),
        ("a.csv", b"number,a,a\n", "duplicate_column"),
        ("a.csv", b"number,Number\n", "duplicate_column"),
        ("a.csv", b"number," + b",".join(b"c%d" % index for index in range(100)), "too_many_columns"),
        ("a.csv", b"\xff\xfe" + b"x" * 5, "invalid_encoding"),
        ("a.csv", b'number,name\n+12025550100,"Anna\n+12025550101,Bob\n+12025550102,Carl\n', "unclosed_quote"),
        ("a.csv", b"number\n" + b"x" * 2_000_000, "line_too_long"),
        ("a.csv", xlsx_of([["number"], [ANNA]]), "missing_column"),
        ("a.xlsx", b"number\n+12025550100\n", "malformed_file"),
        ("a.xlsx", b"", "malformed_file"),
        ("a.xlsx", b"PK\x03\x04" + b"\x00" * 100, "malformed_file"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "malformed_file"),
        ("a.xlsx", xlsx_of([["number"], [ANNA]])[:-200], "malformed_file"),
        ("a.xlsx", xlsx_with("xl/worksheets/sheet1.xml", b"<worksheet><sheetData><row><c"), "malformed_file"),
        ("a.xlsx", xlsx_with("xl/worksheets/sheet1.xml", ENTITIES), "malformed_file"),
        ("a.xlsx", xlsx_with("xl/workbook.xml", b"<x/>"), "malformed_file"),
        ("a.xlsx", xlsx_of([[]]), "empty"),
        ("a.xlsx", xlsx_of([["phone"], [ANNA]]), "missing_column"),
        ("a.xlsx", bomb(), "too_large_unpacked"),
    ],
)
async def test_a_file_that_can_not_be_read_is_refused_whole(
    customer: Customer, projects: FakeProjects, db: Database, name: str, content: bytes, code: str
) -> None:
    status, answer = await refusal(customer, form_of(content, name, projectId=projects.project_id))
    assert (status, answer["code"]) == (400, "invalid_request")
    assert [(error["field"], error["code"]) for error in answer["errors"]] == [("file", code)]
    assert await db.fetchval("SELECT count(*) FROM batch_contacts") == 0
    assert await db.fetchval("SELECT count(*) FROM batches") == 0


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('+12025550100,"a"b', "quotes"),
        ("+12025550100,a,extra", "more cells"),
        ("+12025550100,a\x00b", "U+0000"),
        ("+1202\x00,a", "E.164"),
        ("+12025550100," + "x" * 2001, "name"),
        ('+12025550100,a,"[1]"', "more cells"),
    ],
)
async def test_a_bad_row_never_fails_the_file(
    customer: Customer, projects: FakeProjects, row: str, reason: str
) -> None:
    batch = await upload(customer, projects, f"number,name\n{row}\n{BOB},Bob\n".encode())
    assert (batch["total"], batch["accepted"]) == (2, 1)
    assert reason in batch["rejected"][0]["reason"]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("[1]", "JSON object"),
        ("null", "JSON object"),
        ("{", "JSON object"),
        ('{"a": {}}', "Variable a"),
        ('{"a": "\\u0000"}', "U+0000"),
        ('{"a": "\\ud800"}', "JSON object"),
        ("{" + ",".join(f'"v{index}":1' for index in range(101)) + "}", "Variable"),
    ],
)
async def test_variables_that_are_none(customer: Customer, projects: FakeProjects, cell: str, reason: str) -> None:
    quoted = cell.replace('"', '""')
    batch = await upload(customer, projects, f'number,dynamicVariables\n{ANNA},"{quoted}"\n'.encode())
    assert (batch["status"], batch["accepted"]) == ("completed", 0)
    assert reason in batch["rejected"][0]["reason"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"projectId": ""}, "projectId"),
        ({"window": "nine to five"}, "window"),
        ({"window": {"hours": "9-5"}}, "window.hours"),
        ({"window": {"hours": "18:00-09:00"}}, "window"),
        ({"window": {"hours": "09:00-24:30"}}, "window"),
        ({"window": {"days": ["monday"], "hours": "09:00-17:00"}}, "window.days.0"),
        ({"window": {"days": [], "hours": "09:00-17:00"}}, "window.days"),
        ({"retry": {"on": ["completed"]}}, "retry.on.0"),
        ({"retry": {"max": -1}}, "retry.max"),
        ({"retry": {"often": 1}}, "retry.often"),
        ({"retry": []}, "retry"),
        ({"maxConcurrency": "0"}, "maxConcurrency"),
        ({"callsPerSecond": "nan"}, "callsPerSecond"),
        ({"budget": "-1"}, "budget"),
        ({"budget": "1e30"}, "budget"),
        ({"scheduleAt": "tomorrow"}, "scheduleAt"),
        ({"scheduleAt": "2026-11-26T09:00:00"}, "scheduleAt"),
        ({"attemptsPerDay": "0"}, "attemptsPerDay"),
    ],
)
async def test_a_malformed_field_is_named(
    customer: Customer, projects: FakeProjects, fields: dict[str, Any], field: str
) -> None:
    form = form_of(csv_of(1), **{"projectId": projects.project_id, **fields})
    status, answer = await refusal(customer, form)
    assert (status, answer["code"]) == (400, "invalid_request")
    assert answer["errors"][0]["field"] == field


async def test_what_is_missing_is_named(customer: Customer, projects: FakeProjects) -> None:
    form = aiohttp.FormData()
    form.add_field("file", "text and no file")
    form.add_field("x", b"1", filename="x.bin")
    status, answer = await refusal(customer, form)
    assert status == 400
    assert {error["field"] for error in answer["errors"]} == {"projectId", "file"}


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415, "unsupported_media_type"),
        ({"Content-Type": "multipart/form-data"}, b"x", 400, "malformed_form"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"", 400, "malformed_form"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"garbage", 400, "malformed_form"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"--b\r\n\r\nx\r\n--b--\r\n", 400, "malformed_form"),
        (
            {"Content-Type": "multipart/form-data; boundary=b"},
            b"--b\r\nbad header\r\n\r\nx\r\n--b--",
            400,
            "malformed_form",
        ),
        (
            {"Content-Type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 2 + b"--b--\r\n",
            400,
            "malformed_form",
        ),
        (
            {"Content-Type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--b--\r\n',
            400,
            "malformed_form",
        ),
        (
            {"Content-Type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 70_000 + b"\r\n--b--\r\n",
            413,
            "body_too_large",
        ),
        (
            {"Content-Type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nnumber\n+1202',
            400,
            "malformed_form",
        ),
        (
            {"Content-Type": "multipart/form-data; boundary=b"},
            b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
            400,
            "malformed_form",
        ),
    ],
)
async def test_a_broken_form_is_refused(
    customer: Customer, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    async with customer.open("POST", "/call/batch-call", data=body, headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (status, code)


async def test_more_than_32_megabytes_are_refused(customer: Customer, projects: FakeProjects) -> None:
    async def chunks() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nnumber\n'
        for _ in range(33):
            yield b"+12025550100\n" * 80_660  # a megabyte

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    codes = []
    for body in (chunks(), io.BytesIO(b"x" * (33 << 20))):
        # The answer may come before the body is through, and the socket close: then the client sees only that.
        with contextlib.suppress(aiohttp.ClientConnectionError):
            async with customer.open("POST", "/call/batch-call", data=body, headers=headers) as response:
                codes.append((await response.json())["code"])
    assert set(codes) == {"body_too_large"}


async def test_too_many_rows_leave_nothing(
    customer: Customer, projects: FakeProjects, db: Database, client: Any
) -> None:
    client.app._state[BATCHES] = replace(client.app[BATCHES], max_rows=1000)
    status, answer = await refusal(customer, form_of(csv_of(1001), projectId=projects.project_id))
    assert (status, answer["errors"][0]["code"]) == (400, "too_many_rows")
    assert await db.fetchval("SELECT count(*) FROM batch_contacts") == 0


@pytest.mark.parametrize(
    ("prepare", "status", "code"),
    [
        ({"has_active_agent": False}, 404, "active_agent_not_set"),
        ({"from_number": None}, 409, "no_phone_number"),
        ({"is_down": True}, 503, "project_service_unavailable"),
        ({"project_id": "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f"}, 404, "project_not_found"),
    ],
)
async def test_what_the_project_lacks_is_said(
    customer: Customer, projects: FakeProjects, prepare: dict[str, Any], status: int, code: str
) -> None:
    form = form_of(csv_of(1), projectId=projects.project_id)
    for name, value in prepare.items():
        setattr(projects, name, value)
    got, answer = await refusal(customer, form)
    assert (got, answer["code"]) == (status, code)


async def test_time_zones_are_judged_with_the_row(customer: Customer, projects: FakeProjects, db: Database) -> None:
    content = (
        b"number,timezone\n"
        b"+12025550100,\n"
        b"+12025550101,Europe/Berlin\n"
        b"+12025550102,Mars/Base\n"
        b"+12025550103,../../etc/passwd\n"
        b"+79161234567,\n"
        b"+882123456789,\n"
    )
    window = {"days": ["mon", "tue"], "hours": "10:00-11:00"}
    batch = await upload(customer, projects, content, window=window)
    assert [row["row"] for row in batch["rejected"]] == [4, 5, 6, 7]
    lanes = await db.fetch("SELECT lane FROM batch_lanes ORDER BY lane")
    assert [row["lane"] for row in lanes] == ["America/New_York", "Europe/Berlin"]


async def test_without_accepted_rows_the_batch_is_complete(
    customer: Customer, projects: FakeProjects, bus: InMemoryBus
) -> None:
    seen: list[Any] = []

    async def note(event: Any) -> None:
        seen.append(event)

    await bus.subscribe("q", ["batch.*"], note)
    batch = await upload(customer, projects, b"number\n1\n", window=ALWAYS)
    await eventually(lambda: len(seen) == 1)
    assert (seen[0].type, seen[0].data["batch_id"], seen[0].data["status"]) == (
        "batch.completed",
        batch["id"],
        "completed",
    )


async def test_the_answer_lists_a_bounded_number_of_rejections(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    batch = await upload(customer, projects, b"number\n" + b"1\n" * 1500 + csv_of(600)[7:] + csv_of(600)[7:])
    assert (batch["total"], batch["accepted"], batch["rejectedCount"]) == (2700, 600, 2100)
    assert len(batch["rejected"]) == uploads.MAX_LISTED
    assert await db.fetchval("SELECT count(*) FROM batch_contacts WHERE state = 'rejected'") == 2100


async def test_the_same_form_sent_twice_is_one_batch(customer: Customer, projects: FakeProjects, db: Database) -> None:
    async def send(content: bytes, **fields: Any) -> tuple[int, Any]:
        form = form_of(content, projectId=projects.project_id, **fields)
        headers = {"Idempotency-Key": "a key of sixteen"}
        async with customer.open("POST", "/call/batch-call", data=form, headers=headers) as response:
            return response.status, await response.json()

    first = await send(csv_of(5))
    assert first[0] == 200
    assert await send(csv_of(5)) == first
    assert await db.fetchval("SELECT count(*) FROM batches") == 1
    for status, answer in (await send(csv_of(6)), await send(csv_of(5), maxConcurrency="2")):
        assert (status, answer["code"]) == (422, "idempotency_key_reused")
    assert await db.fetchval("SELECT count(*) FROM batch_contacts") == 5


async def test_uploads_beyond_the_limit_are_put_off(customer: Customer, projects: FakeProjects) -> None:
    async def one() -> int:
        form = form_of(csv_of(20_000), projectId=projects.project_id)
        return (await refusal(customer, form))[0]

    statuses = await asyncio.gather(*(one() for _ in range(6)))
    assert statuses.count(200) >= 4
    assert set(statuses) <= {200, 503}
