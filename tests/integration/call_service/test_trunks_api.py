"""Trunks over the API: made, shown, changed, deleted, kept apart from other users, and never with their password."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from call_service.app import build_app
from call_service.settings import CallApiSettings
from call_service.trunks import repository, service
from call_service.trunks.service import PURPOSE
from shared.db import Database
from shared.ids import new_id
from shared.memory_bus import InMemoryBus
from shared.secret_box import SecretBox
from tests.support.calls import SECRET, Customer, FakeProjects
from tests.support.workers import queue

# Documentation addresses are no place to call (RFC 5737); these are the public internet's.
HOST, NUMBER = "8.8.8.8", "+12025550199"
BODY: dict[str, Any] = {"name": "main", "host": HOST, "username": "acme", "password": "s3cret", "numbers": [NUMBER]}
LEASE = timedelta(seconds=30)


async def make(customer: Customer, **changes: Any) -> dict[str, Any]:
    status, trunk = await customer.ask("POST", "/trunk", {**BODY, **changes})
    assert status == 201, trunk
    return dict(trunk)


async def refusal(customer: Customer, method: str, path: str, **changes: Any) -> tuple[int, str]:
    status, answer = await customer.ask(method, path, {**BODY, **changes})
    return status, answer["code"]


async def test_a_trunk_is_shown_without_its_password_which_is_sealed(customer: Customer, db: Database) -> None:
    made = await make(customer)
    status, shown = await customer.ask("GET", f"/trunk/{made['id']}")
    assert (status, shown) == (200, made)
    assert (shown["hasPassword"], shown["health"], shown["workers"]) == (True, "unknown", [])
    assert "s3cret" not in str(shown)
    sealed = await db.fetchval("SELECT password FROM trunks")
    assert "s3cret" not in sealed
    assert SecretBox(SECRET, PURPOSE).open_text(sealed) == "s3cret"
    events = [str(row["data"]) for row in await db.fetch("SELECT data FROM outbox WHERE type = 'trunk.created'")]
    assert len(events) == 1
    assert "s3cret" not in events[0]
    assert sealed not in events[0]


async def test_a_trunk_is_replaced_and_keeps_its_password_unless_it_gets_another(
    customer: Customer, db: Database
) -> None:
    made = await make(customer)
    before = await db.fetchval("SELECT password FROM trunks")
    body = {"name": "other", "host": HOST, "transport": "tls", "srtp": "required", "numbers": ["+12025550198"]}
    status, changed = await customer.ask("PUT", f"/trunk/{made['id']}", body)
    assert status == 200
    assert (changed["name"], changed["srtp"], changed["username"]) == ("other", "required", "")
    assert changed["numbers"] == ["+12025550198"]
    assert await db.fetchval("SELECT password FROM trunks") == before
    assert (await customer.ask("PUT", f"/trunk/{made['id']}", {**body, "password": ""}))[1]["hasPassword"] is False
    assert await db.fetchval("SELECT array_agg(type ORDER BY sequence) FROM outbox WHERE subject = $1", made["id"]) == [
        "trunk.created",
        "trunk.changed",
        "trunk.changed",
    ]


async def test_trunks_are_limited_for_each_user(
    customer: Customer, stranger: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every worker watches all of them: one user's thousands would cost everybody's calls."""
    monkeypatch.setattr(service, "MAX_TRUNKS", 2)
    made = [customer.ask("POST", "/trunk", {**BODY, "name": f"t{n}", "numbers": []}) for n in range(4)]
    answers = await asyncio.gather(*made)
    assert sorted((status, answer.get("code")) for status, answer in answers)[2:] == [(409, "too_many_trunks")] * 2
    await make(stranger)
    first = next(answer["id"] for status, answer in answers if status == 201)
    assert (await customer.ask("PUT", f"/trunk/{first}", BODY))[0] == 200
    async with customer.open("DELETE", f"/trunk/{first}") as response:
        assert response.status == 204
    await make(customer)


async def test_pages_are_newest_first_and_only_of_the_user(customer: Customer, stranger: Customer) -> None:
    names = [f"trunk {number}" for number in range(5)]
    for name in names:
        await make(customer, name=name, numbers=[])
    await make(stranger)  # the same name and number: they are another user's
    seen, query = list[str](), "limit=2"
    while True:
        _, page = await customer.ask("GET", f"/trunk?{query}")
        seen += [trunk["name"] for trunk in page["data"]]
        if page["next_cursor"] is None:
            break
        query = f"limit=2&cursor={page['next_cursor']}"
    assert seen == names[::-1]


async def test_another_users_trunk_is_not_there(customer: Customer, stranger: Customer) -> None:
    path = f"/trunk/{(await make(customer))['id']}"
    assert (await stranger.ask("GET", path))[0] == 404
    assert await refusal(stranger, "PUT", path) == (404, "trunk_not_found")
    async with stranger.open("DELETE", path) as response:
        assert response.status == 404
    assert (await stranger.ask("POST", f"{path}/test", {}))[0] == 404
    assert (await customer.ask("GET", path))[0] == 200
    assert (await customer.ask("GET", "/trunk/nonsense"))[0] == 404


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "trunk_name_taken"),
        ({"name": "second"}, "number_of_other_trunk"),
        ({"name": "second", "numbers": [], "inbound": "digest"}, "trunk_username_taken"),
    ],
)
async def test_what_another_trunk_has_is_refused(
    customer: Customer, db: Database, changes: dict[str, Any], code: str
) -> None:
    await make(customer, inbound="digest")
    assert await refusal(customer, "POST", "/trunk", **changes) == (409, code)
    third = await make(customer, name="third", numbers=[], username="third")
    assert await refusal(customer, "PUT", f"/trunk/{third['id']}", **changes) == (409, code)
    assert await db.fetchval("SELECT count(*) FROM trunks") == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "127.0.0.1"},
        {"host": "10.1.2.3"},
        {"host": "169.254.169.254"},
        {"host": "::1"},
        {"host": "localhost"},
        {"host": "2130706433"},
        {"allowedAddresses": ["192.168.0.0/16"]},
    ],
)
async def test_trunks_inside_are_refused(customer: Customer, changes: dict[str, Any]) -> None:
    assert await refusal(customer, "POST", "/trunk", **changes) == (422, "invalid_host")


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "a b"},
        {"host": "sip:evil@example.com"},
        {"transport": "udp", "srtp": "required"},
        {"username": "", "register": True},
        {"username": "a\r\nVia: x"},
        {"numbers": ["2025550199"]},
        {"numbers": [NUMBER, NUMBER]},
        {"allowedAddresses": ["0.0.0.0/0"]},
        {"allowedAddresses": ["8.8.8.8/24"]},
        {"callsPerSecond": 0},
        {"maxConcurrentCalls": 0},
        {"surprise": 1},
    ],
)
async def test_malformed_trunks_are_refused(customer: Customer, changes: dict[str, Any]) -> None:
    assert await refusal(customer, "POST", "/trunk", **changes) == (422, "invalid_request")


async def test_a_trunk_that_calls_wait_for_is_not_deleted(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    trunk = await make(customer)
    call_id = await queue(db, tenant=projects.tenant)
    assert str(await db.fetchval("SELECT trunk_id FROM calls WHERE id = $1", call_id)) == trunk["id"]
    assert await refusal(customer, "DELETE", f"/trunk/{trunk['id']}") == (409, "trunk_in_use")
    await db.execute("UPDATE calls SET status = 'in-progress' WHERE id = $1", call_id)
    async with customer.open("DELETE", f"/trunk/{trunk['id']}") as response:
        assert response.status == 204
    assert str(await db.fetchval("SELECT trunk_id FROM calls WHERE id = $1", call_id)) == trunk["id"]
    assert (
        await db.fetchval("SELECT trunk_id FROM calls WHERE id = $1", await queue(db, tenant=projects.tenant)) is None
    )


async def test_a_call_that_is_being_queued_keeps_its_trunk_from_being_deleted(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    """The call's transaction picked the trunk and has not committed when the trunk is to go."""
    trunk = await make(customer)
    async with db.transaction() as tx:
        picked = await tx.fetchval("SELECT trunk_id FROM trunk_numbers WHERE number = $1 FOR KEY SHARE", NUMBER)
        deletion = asyncio.create_task(refusal(customer, "DELETE", f"/trunk/{trunk['id']}"))
        await asyncio.sleep(0.3)
        assert not deletion.done()
        await tx.execute(
            """INSERT INTO calls (id, tenant, project_id, agent_version, agent, direction, from_number, to_number,
                   status, trunk_id) VALUES ($1, $2, $1, 1, '{}', 'outbound', $3, '+12025550100', 'queued', $4)""",
            new_id(),
            projects.tenant,
            NUMBER,
            picked,
        )
    assert await deletion == (409, "trunk_in_use")


async def test_a_test_waits_for_a_worker_and_is_given_up(customer: Customer, db: Database) -> None:
    trunk = await make(customer)
    path = f"/trunk/{trunk['id']}/test"
    status, test = await customer.ask("POST", path, {"number": "+12025550100"})
    assert (status, test["status"], test["steps"]) == (202, "waiting", [])
    assert await db.fetchval("SELECT from_number FROM trunk_tests") == NUMBER
    assert (await customer.ask("POST", path, {}))[1]["code"] == "trunk_test_running"
    await db.execute("UPDATE trunk_tests SET created_at = now() - interval '3 minutes'")
    assert (await customer.ask("GET", f"{path}/{test['id']}"))[1]["status"] == "expired"
    assert await repository.take_tests(db, "late", [trunk["id"]], timedelta(minutes=1), 4) == []
    assert (await customer.ask("POST", path, {}))[0] == 202
    assert (await customer.ask("GET", f"{path}/{new_id()}"))[1]["code"] == "trunk_test_not_found"


async def test_a_test_is_taken_once(customer: Customer, db: Database) -> None:
    trunk = await make(customer)
    await customer.ask("POST", f"/trunk/{trunk['id']}/test", {})
    taken = await asyncio.gather(
        *(repository.take_tests(db, f"worker {number}", [trunk["id"]], LEASE, 4) for number in range(4))
    )
    assert sum(map(len, taken)) == 1


async def test_a_test_calls_only_who_may_be_called_and_as_one_of_the_trunk(customer: Customer) -> None:
    path = f"/trunk/{(await make(customer))['id']}/test"
    wrong = {"number": "+12025550100", "from": "+12025550111"}
    assert (await customer.ask("POST", path, wrong))[1]["code"] == "caller_unknown"
    await customer.ask("PUT", "/do-not-call/+12025550100", {})
    status, answer = await customer.ask("POST", path, {"number": "+12025550100"})
    assert (status, answer["code"]) == (409, "do_not_call")


async def test_one_worker_registers_a_trunk_until_it_leaves(customer: Customer, db: Database) -> None:
    trunk = await make(customer, register=True)
    await make(customer, name="other", numbers=[])
    assert await repository.become_registrar(db, "one", LEASE) == {trunk["id"]}
    assert await repository.become_registrar(db, "two", LEASE) == set()
    assert await repository.become_registrar(db, "one", LEASE) == {trunk["id"]}
    await repository.leave(db, "one")
    assert await repository.become_registrar(db, "two", LEASE) == {trunk["id"]}
    await db.execute("UPDATE trunk_registrars SET lease_until = now() - interval '1 second'")
    assert await repository.become_registrar(db, "one", LEASE) == {trunk["id"]}


async def test_what_workers_report_is_shown_while_they_live(customer: Customer, db: Database) -> None:
    trunk = await make(customer, register=True)
    await repository.report(db, "one", {trunk["id"]: (False, True, "403 Forbidden", 2)}, LEASE)
    _, shown = await customer.ask("GET", f"/trunk/{trunk['id']}")
    [first] = shown["workers"]
    assert (shown["health"], first["registered"], first["last_error"]) == ("down", False, "403 Forbidden")
    await repository.report(db, "one", {trunk["id"]: (False, True, "403 Forbidden", 3)}, LEASE)
    _, shown = await customer.ask("GET", f"/trunk/{trunk['id']}")
    assert shown["workers"] == [{**first, "calls": 3}]  # `since` stays
    await repository.report(db, "one", {trunk["id"]: (True, True, None, 3), new_id(): (None, True, None, 0)}, LEASE)
    _, shown = await customer.ask("GET", f"/trunk/{trunk['id']}")
    assert shown["health"] == "up"
    assert shown["workers"][0]["since"] > first["since"]
    await db.execute("UPDATE trunk_states SET seen_at = now() - interval '2 minutes'")
    assert (await customer.ask("GET", f"/trunk/{trunk['id']}"))[1]["workers"] == []
    await repository.report(db, "two", {}, LEASE)
    assert await db.fetchval("SELECT count(*) FROM trunk_states") == 0


async def test_private_trunks_where_the_operator_allows_them(calls_url: str, projects: FakeProjects) -> None:
    values: dict[str, Any] = {"database_url": calls_url, "internal_token_secret": SECRET, "encryption_key": SECRET}
    settings = CallApiSettings(**values, trunk_allow_private=True)
    client: TestClient[web.Request, web.Application] = TestClient(TestServer(build_app(settings, InMemoryBus())))
    async with client:
        made = await make(Customer(client, projects.tenant), host="10.1.2.3", allowedAddresses=["192.168.0.0/16"])
    assert made["host"] == "10.1.2.3"


async def test_what_is_stored_is_shown_and_deleted_whatever_today_s_rules_are(customer: Customer, db: Database) -> None:
    """One trunk stored under an older rule once made the whole list answer 500."""
    trunk_id = (await make(customer))["id"]
    await db.execute(
        """UPDATE trunks SET name = ' ', host = 'a host/with?a path', port = 0, username = 'a b',
            realm = repeat('r', 200), calls_per_second = 5000, max_concurrent = 0,
            allowed_addresses = '["8.0.0.0/4"]'"""
    )
    await db.execute("UPDATE trunk_numbers SET number = '12025550199'")
    status, shown = await customer.ask("GET", f"/trunk/{trunk_id}")
    assert (status, shown["host"], shown["numbers"]) == (200, "a host/with?a path", ["12025550199"])
    assert (shown["allowedAddresses"], shown["callsPerSecond"]) == (["8.0.0.0/4"], 5000)
    assert (await customer.ask("GET", "/trunk"))[1]["data"] == [shown]
    assert (await refusal(customer, "PUT", f"/trunk/{trunk_id}", host="a host/with?a path"))[0] == 422
    async with customer.open("DELETE", f"/trunk/{trunk_id}") as response:
        assert response.status == 204
