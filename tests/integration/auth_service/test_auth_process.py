"""The process as a whole: keys shared between replicas, migrations, mail behind the request, memory, documents."""

import asyncio
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from openapi_spec_validator import validate
from pydantic import SecretStr

from auth_service.app import build_app
from auth_service.audit.repository import PRUNE as PRUNE_AUDIT
from auth_service.keys import repository
from auth_service.keys.errors import SealedWithAnotherKeyError
from auth_service.keys.service import KEY_RING
from auth_service.mail.memory import MemoryMailer
from auth_service.sessions.repository import PRUNE as PRUNE_SESSIONS
from auth_service.settings import AuthSettings
from auth_service.throttles.repository import PRUNE as PRUNE_THROTTLES
from auth_service.verification.repository import PRUNE as PRUNE_CODES
from deploy.local.system import free_port
from shared.memory_bus import InMemoryBus
from shared.testing.waiting import eventually
from shared.tokens import HEADER, InternalTokens

SIGNUP = {"email": "ada@example.com", "password": "correct horse battery", "name": "Ada"}


async def test_replicas_that_start_together_share_two_keys(auth: Any) -> None:
    await auth.db.execute("DELETE FROM signing_keys")
    apps = [build_app(auth.settings, InMemoryBus(), clock=auth.clock) for _ in range(3)]
    clients = [TestClient(TestServer(app)) for app in apps]
    await asyncio.gather(*(client.start_server() for client in clients))
    rings = [app[KEY_RING].public_keys() for app in apps]
    assert all(ring == rings[0] for ring in rings)
    assert len(rings[0].keys) == 2
    await asyncio.gather(*(client.close() for client in clients))


async def test_rotation_refuses_no_token_that_is_still_valid(auth: Any) -> None:
    """Over three key changes, whatever signs was published a while before, and stays until its tokens are over."""
    ring = auth.client.app[KEY_RING]
    published_at_hour: list[set[str]] = []
    for hour in range(24 * 100):
        auth.clock.advance(hours=1)
        if hour % 24 == 0:
            await ring.refresh()
        signer = _kid(ring.sign({}))
        published = {key.kid for key in ring.public_keys().keys}
        assert signer in published
        assert all(signer in earlier for earlier in published_at_hour[-24:] if hour > 24)
        published_at_hour.append(published)
    assert len(set.union(*published_at_hour)) == 5


def _kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


async def test_private_keys_are_sealed(auth: Any) -> None:
    async with auth.db.connection() as connection:
        rows = await connection.fetch("SELECT sealed_private_key FROM signing_keys")
        keys = await repository.load(connection, auth.client.app[KEY_RING]._box)
    raw = [key.private_key.private_bytes_raw() for key in keys]
    assert not any(secret in row["sealed_private_key"] for row in rows for secret in raw)


async def test_another_encryption_key_is_refused_at_start(auth: Any) -> None:
    settings = auth.settings.model_copy(update={"encryption_key": SecretStr("some other encryption key, long enough")})
    runner = web.AppRunner(build_app(settings, InMemoryBus()))
    with pytest.raises(SealedWithAnotherKeyError):
        await runner.setup()
    await runner.cleanup()


async def test_a_code_is_good_after_the_encryption_key_was_changed(auth: Any) -> None:
    await auth.sign_up(is_verified=False)
    code = await auth.code()
    keys = f"the next encryption key of the tests,{auth.settings.encryption_key.get_secret_value()}"
    changed = auth.settings.model_copy(update={"encryption_key": SecretStr(keys)})
    app = build_app(changed, InMemoryBus(), clock=auth.clock, mailer=auth.mailer)
    async with TestClient(TestServer(app)) as client:
        after = replace(auth, client=client)
        body = {"email": "ada@example.com", "code": f"{(int(code) + 1) % 10**6:06}"}
        assert (await after.post("/auth/verify-email", body)).body["code"] == "wrong_code"
        assert (await after.post("/auth/verify-email", body | {"code": code})).status == 200
        assert await auth.db.fetchval("SELECT count(*) FROM one_time_secrets") == 0


async def test_sign_up_does_not_wait_for_a_mail_server_that_is_down(auth: Any) -> None:
    auth.mailer.is_down = True
    assert (await auth.post("/auth/signup", SIGNUP)).status == 200

    async def was_tried() -> bool:
        return bool(await auth.db.fetchval("SELECT failures > 0 FROM mail_outbox"))

    await eventually(was_tried)
    assert auth.mailer.sent == []
    auth.mailer.is_down = False
    auth.clock.advance(seconds=10)
    code = await auth.code()
    assert (await auth.post("/auth/verify-email", {"email": SIGNUP["email"], "code": code})).status == 200


async def test_mail_that_can_never_be_sent_is_given_up(auth: Any) -> None:
    auth.mailer.is_down = True
    await auth.post("/auth/signup", SIGNUP)

    async def is_given_up() -> bool:
        auth.clock.advance(seconds=30)
        return await auth.db.fetchval("SELECT count(*) FROM mail_outbox") == 0

    await eventually(is_given_up, limit_seconds=60)
    assert auth.mailer.sent == []


async def test_mail_that_another_key_sealed_holds_no_other_up_and_is_given_up(auth: Any) -> None:
    now = auth.clock.now()
    await auth.db.execute(
        "INSERT INTO mail_outbox (id, sealed, next_try_at, give_up_at) VALUES (gen_random_uuid(), $1, $2, $3)",
        b"sealed with another key, not with ours",
        now - timedelta(hours=1),
        now + timedelta(hours=1),
    )
    await auth.post("/auth/signup", SIGNUP)
    await auth.code()
    assert await auth.db.fetchval("SELECT count(*) FROM mail_outbox") == 1

    async def is_given_up() -> bool:
        auth.clock.advance(minutes=30)
        return await auth.db.fetchval("SELECT count(*) FROM mail_outbox") == 0

    await eventually(is_given_up)


async def test_what_is_over_is_pruned(auth: Any) -> None:
    user = await auth.sign_up()
    await auth.post("/auth/resend-code", {"email": "bob@example.com"})
    for table, column in {
        "sessions": "expires_at",
        "throttles": "updated_at",
        "audit_log": "created_at",
        "one_time_secrets": "expires_at",
    }.items():
        await auth.db.execute(f"UPDATE {table} SET {column} = now() - interval '2 days'")
    for statement in (PRUNE_AUDIT, PRUNE_SESSIONS, PRUNE_THROTTLES, PRUNE_CODES):
        assert await auth.db.execute(statement, timedelta(days=1), 1000) != "DELETE 0"
    assert user.session_id is not None


async def test_the_openapi_document_is_valid_and_keeps_internals_to_itself(auth: Any) -> None:
    async with auth.client.get("/openapi.json") as response:
        document = await response.json()
    validate(document)
    assert not any(path.startswith("/internal") for path in document["paths"])
    for operations in document["paths"].values():
        for operation in operations.values():
            assert all("example" in content for content in _contents(operation))


def _contents(operation: dict[str, Any]) -> list[dict[str, Any]]:
    success = [response for status, response in operation["responses"].items() if status < "400"]
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    return [content for part in (*success, *bodies) for content in part.get("content", {}).values()]


async def test_the_api_is_ready_while_the_broker_is_away(database_url: str) -> None:
    secret = "a secret of the tests, long enough for all"
    broker = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    settings = AuthSettings(
        database_url=database_url, internal_token_secret=secret, encryption_key=secret, amqp_url=broker
    )
    async with TestClient(TestServer(build_app(settings, mailer=MemoryMailer()))) as client:
        async with client.get("/health/ready") as answer:
            assert answer.status == 200
        headers = {HEADER: InternalTokens(secret, "gateway", lambda: datetime.now(UTC)).sign(None)}
        async with client.post("/auth/signup", json=SIGNUP, headers=headers) as answer:
            assert answer.status == 200


async def test_a_real_process_migrates_serves_stays_small_and_stops(
    empty_database_url: str, rabbitmq_server: str, tmp_path: Path
) -> None:
    """Memory of the API process, with what its hashing thread keeps: at most 120 MB idle and after 200 requests."""
    port = free_port()
    secret = "an internal secret of the tests, long enough"
    environment = {
        **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "PYTHONPATH"}},
        "DATABASE_URL": empty_database_url,
        "AMQP_URL": rabbitmq_server,
        "INTERNAL_TOKEN_SECRET": secret,
        "ENCRYPTION_KEY": "an encryption key of the tests, long enough",
        "MAIL_DIR": str(tmp_path / "mail"),
        "PORT": str(port),
    }

    async def start(role: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(sys.executable, "-m", "auth_service", role, env=environment)

    assert await (await start("migrate")).wait() == 0
    assert await (await start("migrate")).wait() == 0
    process = await start("api")
    try:
        await _is_ready(port)
        memory = psutil.Process(process.pid).memory_info
        idle = memory().rss
        await _two_hundred_requests(port, secret, tmp_path / "mail")
        print(f"auth_service api: {idle / 1e6:.0f} MB idle, {memory().rss / 1e6:.0f} MB after 200 requests")
        assert max(idle, memory().rss) <= 120e6
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _is_ready(port: int) -> None:
    async with aiohttp.ClientSession() as session:

        async def ready() -> bool:
            try:
                async with session.get(f"http://127.0.0.1:{port}/health/ready") as response:
                    return response.status == 200
            except aiohttp.ClientConnectionError:
                return False

        await eventually(ready)


async def _two_hundred_requests(port: int, secret: str, mail: Path) -> None:
    headers = {HEADER: InternalTokens(secret, "gateway", lambda: datetime.now(UTC)).sign(None)}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
        for number in range(100):
            body = {**SIGNUP, "email": f"ada{number}@example.com"}
            for path in ("/auth/signup", "/auth/login"):
                async with session.post(path, json=body) as response:
                    assert response.status == (200 if path == "/auth/signup" else 401)
    await eventually(lambda: len(list(mail.glob("*.eml"))) == 100)
