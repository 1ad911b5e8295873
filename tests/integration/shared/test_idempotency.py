"""A request with an Idempotency-Key has its effect once, whatever happens around it; on a real Postgres."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import BaseModel, ConfigDict

from shared.db import Database
from shared.endpoints import Context, Router
from shared.errors import ConflictError, TooManyRequestsError
from shared.forms import Upload
from shared.http import new_app
from shared.idempotency import (
    HEADER,
    IDEMPOTENCY,
    IDEMPOTENCY_TABLE,
    MAX_ANSWER_BYTES,
    PRUNE,
    REPLAYED,
    Idempotency,
)
from shared.ids import new_id
from shared.secret_box import SecretBox
from shared.settings import ProcessSettings
from shared.testing.waiting import eventually
from shared.tokens import HEADER as TOKEN
from shared.tokens import InternalTokens, Principal

SECRET = "an internal secret of the tests, long enough"
KEY = "a key of sixteen or more characters"
POOL = 3
TABLES = ("things", "attempts")
# Who holds the lock of a key.
LOCKS = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"


class Thing(BaseModel):
    name: str
    does: str = "make"


class Sent(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    file: Upload


class Made(BaseModel):
    id: str
    name: str


@dataclass
class Shop:
    """An endpoint that makes things, on a small pool, and what its customers do."""

    client: "TestClient[Any, Any]"
    db: Database
    gate: asyncio.Event
    tokens: InternalTokens = field(default_factory=lambda: InternalTokens(SECRET, "tests", lambda: datetime.now(UTC)))

    async def post(
        self, body: Any, key: str | None = KEY, tenant: str | None = "ada", path: str = "/thing", **headers: str
    ) -> tuple[int, Any, bool]:
        """Status, body, and whether it is a replay."""
        principal = None if tenant is None else Principal(tenant, "token", None, ("*",))
        sent = {TOKEN: self.tokens.sign(principal), **({HEADER: key} if key is not None else {}), **headers}
        async with self.client.post(path, json=body, headers=sent) as answer:
            return answer.status, await answer.json(), answer.headers.get(REPLAYED) == "true"

    async def count(self, table: str = "things") -> int:
        return int(await self.db.fetchval(f"SELECT count(*) FROM {table}"))


def _router(db: Database, gate: asyncio.Event) -> Router:
    router = Router("Things")

    async def insert(table: str, name: str) -> str:
        async with db.transaction() as tx:
            id_ = new_id()
            await tx.execute(f"INSERT INTO {table} VALUES ($1, $2)", id_, name)
        return id_

    async def make(ctx: Context[Thing]) -> web.StreamResponse | Made:
        """Make a thing."""
        if ctx.body.does == "wait first":
            await gate.wait()
        await insert("attempts", ctx.body.name)
        async with db.transaction() as tx:
            id_ = new_id()
            await tx.execute("INSERT INTO things VALUES ($1, $2)", id_, ctx.body.name)
            sees_the_work = await db.fetchval("SELECT EXISTS (SELECT FROM things WHERE id = $1)", id_)
            assert sees_the_work == (HEADER in ctx.request.headers)
            match ctx.body.does:
                case "refuse":
                    raise ConflictError
                case "be busy":
                    raise TooManyRequestsError
                case "crash":
                    raise RuntimeError
                case "wait":
                    await gate.wait()
                case "answer at length":
                    return web.Response(body=b"x" * (MAX_ANSWER_BYTES + 1))
        return Made(id=id_, name=ctx.body.name)

    async def upload(ctx: Context[Sent]) -> Made:
        """Take a file."""
        return Made(id=await insert("things", ctx.body.file.name), name=ctx.body.file.name)

    router.add("POST", "/thing", body=Thing, answer=Made, status=201, idempotent=True)(make)
    router.add("POST", "/public", auth="none", body=Thing, answer=Made, status=201, idempotent=True)(make)
    router.add("POST", "/upload", body=Sent, is_form=True, answer=Made, idempotent=True)(upload)
    return router


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Shop]:
    db = await Database.connect(database_url, "shop", max_size=POOL)
    await db.execute("CREATE SCHEMA shop")
    for statement in (IDEMPOTENCY_TABLE, *(f"CREATE TABLE {name} (id uuid, name text)" for name in TABLES)):
        await db.execute(statement)
    gate = asyncio.Event()
    app = new_app(ProcessSettings(internal_token_secret=SECRET), "shop", [_router(db, gate)])
    app[IDEMPOTENCY] = Idempotency(db, SecretBox(SECRET, "shop:idempotency"))
    async with TestClient(TestServer(app)) as client:
        yield Shop(client, db, gate)
        gate.set()
    await db.close()


async def test_the_first_answer_is_given_again(shop: Shop) -> None:
    first = await shop.post({"name": "x", "does": "make"})
    again = await shop.post({"does": "make", "name": "x"})
    assert (first[0], first[2]) == (201, False)
    assert again == (201, first[1], True)
    assert await shop.count() == 1


async def test_the_first_answer_is_given_again_after_the_encryption_key_was_changed(shop: Shop) -> None:
    """The same request was refused as another one."""
    first = await shop.post({"name": "chair"})
    shop.client.app[IDEMPOTENCY]._box = SecretBox(f"{'new' * 11},{SECRET}", "shop:idempotency")
    assert await shop.post({"name": "chair"}) == (*first[:2], True)
    assert (await shop.post({"name": "table"}))[1]["code"] == "idempotency_key_reused"
    assert await shop.count() == 1


async def test_without_a_key_every_request_counts(shop: Shop) -> None:
    for _ in range(2):
        await shop.post({"name": "x"}, key=None)
    assert await shop.count() == 2


@pytest.mark.parametrize("key", ["", "x" * 15, "x" * 129, "sixteen or more\tx", "sechzehn Zeichen ü"])
async def test_a_malformed_key_is_refused(shop: Shop, key: str) -> None:
    status, body, _ = await shop.post({"name": "x"}, key=key)
    assert (status, body["code"]) == (400, "invalid_idempotency_key")
    assert await shop.count() == 0


async def test_another_body_or_path_under_the_same_key_is_refused(shop: Shop) -> None:
    await shop.post({"name": "x"})
    for body, path in (({"name": "y"}, "/thing"), ({"name": "x"}, "/thing?a=b")):
        status, answer, _ = await shop.post(body, path=path)
        assert (status, answer["code"]) == (422, "idempotency_key_reused")
    assert await shop.count() == 1


async def test_a_key_belongs_to_its_tenant_and_before_log_in_to_its_network(shop: Shop) -> None:
    for tenant in ("ada", "bob"):
        assert (await shop.post({"name": tenant}, tenant=tenant))[2] is False
    for ip, is_replayed in {"192.0.2.1": False, "192.0.2.2": False, "2001:db8::1": False, "2001:db8::2": True}.items():
        answer = await shop.post({"name": "x"}, tenant=None, path="/public", **{"X-Client-IP": ip})
        assert (answer[0], answer[2]) == (201, is_replayed)
    stored = str(await shop.db.fetch("SELECT owner FROM idempotency_keys"))
    assert "192.0.2" not in stored


async def test_a_refusal_is_an_answer_too_and_only_its_own_part_is_undone(shop: Shop) -> None:
    first = await shop.post({"name": "x", "does": "refuse"})
    assert (first[0], first[1]["code"]) == (409, "conflict")
    assert await shop.post({"name": "x", "does": "refuse"}) == (409, first[1], True)
    assert (await shop.count(), await shop.count("attempts")) == (0, 1)


@pytest.mark.parametrize(("does", "status"), [("be busy", 429), ("crash", 500), ("answer at length", 500)])
async def test_an_answer_that_may_change_is_not_kept_and_leaves_nothing(shop: Shop, does: str, status: int) -> None:
    for _ in range(2):
        answer = await shop.post({"name": "x", "does": does})
        assert (answer[0], answer[2]) == (status, False)
    assert (await shop.count(), await shop.count("attempts")) == (0, 0)
    assert (await shop.post({"name": "x"}))[0] == 201


async def test_a_request_that_is_refused_before_it_runs_leaves_its_key_free(shop: Shop) -> None:
    assert (await shop.post({}))[0] == 400
    assert (await shop.post({"name": "x"}))[0] == 201


async def test_twenty_at_once_have_one_effect(shop: Shop) -> None:
    answers = await asyncio.gather(*(shop.post({"name": "x"}) for _ in range(20)))
    made = [answer for answer in answers if answer[0] == 201]
    assert {answer[1]["code"] for answer in answers if answer[0] != 201} <= {"idempotency_in_progress"}
    assert len({answer[1]["id"] for answer in made}) == 1
    assert [answer[2] for answer in made].count(False) == 1
    assert (await shop.count(), await shop.count("attempts")) == (1, 1)


async def test_while_the_first_one_runs_the_second_is_told_to_wait(shop: Shop) -> None:
    first = asyncio.create_task(shop.post({"name": "x", "does": "wait"}))
    await _until_somebody_works(shop)
    status, body, _ = await shop.post({"name": "x", "does": "wait"})
    assert (status, body["code"]) == (409, "idempotency_in_progress")
    shop.gate.set()
    made = await first
    assert await shop.post({"name": "x", "does": "wait"}) == (201, made[1], True)


async def test_a_request_that_dies_frees_its_key_at_once_and_leaves_nothing(shop: Shop) -> None:
    """As when the process is killed: its connection ends in the middle of the work."""
    first = asyncio.create_task(shop.post({"name": "x", "does": "wait"}))
    await _until_somebody_works(shop)
    await shop.db.execute(f"SELECT pg_terminate_backend(pid) FROM ({LOCKS}) locks")
    shop.gate.set()
    assert (await first)[0] == 503
    assert await shop.count() == 0
    assert (await shop.post({"name": "x", "does": "wait"}))[0] == 201
    assert await shop.count() == 1


async def test_what_comes_before_the_first_transaction_holds_no_connection(shop: Shop) -> None:
    waiting = [asyncio.create_task(shop.post({"name": "x", "does": "wait first"}, KEY + str(n))) for n in range(9)]
    assert (await shop.post({"name": "y"}, key=None))[0] == 201
    shop.gate.set()
    assert [answer[0] for answer in await asyncio.gather(*waiting)] == [201] * 9


async def test_an_upload_is_known_by_its_content_not_by_its_boundary(shop: Shop) -> None:
    async def upload(content: str) -> tuple[int, Any]:
        headers = {TOKEN: shop.tokens.sign(Principal("ada", "token", None, ("*",))), HEADER: KEY}
        async with shop.client.post("/upload", data=_form(content), headers=headers) as answer:
            return answer.status, await answer.json()

    first = await upload("number\n+12025550100")
    assert await upload("number\n+12025550100") == first
    status, body = await upload("number\n+12025550101")
    assert (status, body["code"]) == (422, "idempotency_key_reused")
    assert await shop.count() == 1


async def test_answers_are_sealed_and_pruned_after_a_day(shop: Shop) -> None:
    _, made, _ = await shop.post({"name": "a secret that is shown once"})
    stored = await shop.db.fetchrow("SELECT * FROM idempotency_keys")
    assert b"shown once" not in stored["sealed_body"]
    day = timedelta(hours=24)
    assert await shop.db.execute(PRUNE, day, 100) == "DELETE 0"
    await shop.db.execute("UPDATE idempotency_keys SET answered_at = now() - interval '24 hours'")
    assert await shop.db.execute(PRUNE, day, 100) == "DELETE 1"
    assert (await shop.post({"name": "a secret that is shown once"}))[1] != made


FINAL = {"make": 201, "refuse": 409}
NOT_FINAL = {"be busy": 429, "crash": 500}


@pytest.mark.parametrize("seed", range(5))
async def test_a_random_walk_agrees_with_the_model(shop: Shop, seed: int) -> None:
    """Two tenants, three keys, three bodies: the model remembers the first final answer of each key."""
    chance = random.Random(seed)
    known: dict[tuple[str, str], tuple[Any, tuple[int, Any]]] = {}
    made, seen = 0, set()
    for _ in range(120):
        owner, key = chance.choice(["ada", "bob"]), KEY + chance.choice("123")
        body = {"name": chance.choice("xy"), "does": chance.choice([*FINAL, *NOT_FINAL])}
        status, answer, is_replayed = await shop.post(body, key, owner)
        if (owner, key) not in known:
            expected = {**FINAL, **NOT_FINAL}[body["does"]], False
            made += status == 201
            if body["does"] in FINAL:
                known[owner, key] = body, (status, answer)
        elif known[owner, key][0] == body:
            expected = known[owner, key][1][0], True
            assert (status, answer) == known[owner, key][1]
        else:
            expected = 422, False
        assert (status, is_replayed) == expected
        seen.add(expected)
        assert await shop.count() == made
        if chance.random() < 0.08:
            await shop.db.execute("DELETE FROM idempotency_keys")
            known.clear()
    assert seen >= {(201, False), (201, True), (409, True), (422, False), (429, False), (500, False)}


async def _until_somebody_works(shop: Shop) -> None:
    async def works() -> bool:
        return bool(await shop.db.fetchval(f"SELECT count(*) FROM ({LOCKS}) locks"))

    await eventually(works)


def _form(content: str) -> aiohttp.MultipartWriter:
    """With a random boundary, as every client makes one."""
    writer = aiohttp.MultipartWriter("form-data")
    part = writer.append(content)
    part.set_content_disposition("form-data", name="file", filename="numbers.csv")
    return writer
