"""What the gateway remembers, in virtual time: keys, tokens, signatures, instances, log lines, repeated work."""

import asyncio
import hashlib
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from gateway.access_log import AccessLog
from gateway.access_tokens import REVOKED_SECONDS, AccessTokens, InvalidAccessTokenError
from gateway.api_keys import ApiKeys, InvalidApiKeyError
from gateway.authn import Signatures
from gateway.background import repeating
from gateway.instances import Instances, RetryBudget
from gateway.keys import PublicKeys
from gateway.upstreams import Upstream
from shared.errors import UnavailableError
from shared.testing.waiting import eventually
from shared.tokens import InternalTokens, Principal

KEY = Ed25519PrivateKey.generate()
JWKS = {"keys": [OKPAlgorithm.to_jwk(KEY.public_key(), as_dict=True) | {"kid": "first"}]}
API_KEY = "tk_live_0123456789"


class Time:
    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


class Fetch:
    """Answers with the key set, or fails while `error` is set; counts."""

    def __init__(self) -> None:
        self.count = 0
        self.answer: tuple[int, Any] = (200, JWKS)
        self.error: Exception | None = None

    async def __call__(self) -> tuple[int, Any]:
        self.count += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return self.answer


def _keys(fetch: Fetch, time: Time) -> PublicKeys:
    return PublicKeys(fetch, min_interval_seconds=5, monotonic=time.monotonic)


async def test_many_at_once_wait_for_one_fetch() -> None:
    fetch = Fetch()
    keys = _keys(fetch, Time())
    found = await asyncio.gather(*(keys.get("first") for _ in range(20)))
    assert all(found)
    assert fetch.count == 1


async def test_unknown_key_ids_fetch_at_most_once_in_the_interval() -> None:
    fetch, time = Fetch(), Time()
    keys = _keys(fetch, time)
    assert await keys.get("forged-1") is None
    assert await keys.get("forged-2") is None
    assert fetch.count == 1
    time.seconds += 5
    assert await keys.get("forged-3") is None
    assert fetch.count == 2


@pytest.mark.parametrize("answer", [(500, {}), (200, {}), (200, {"keys": []}), (200, []), (200, None)])
async def test_known_keys_stay_while_auth_service_fails(answer: tuple[int, Any]) -> None:
    fetch, time = Fetch(), Time()
    keys = _keys(fetch, time)
    assert await keys.refresh()
    fetch.answer = answer
    assert not await keys.refresh()
    assert await keys.get("first") is not None
    await keys.ping()
    with pytest.raises(UnavailableError):
        await keys.get("new")


async def test_there_is_no_verdict_before_the_first_keys() -> None:
    fetch, time = Fetch(), Time()
    fetch.error = UnavailableError()
    keys = _keys(fetch, time)
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await keys.get("first")
    assert fetch.count == 1
    with pytest.raises(UnavailableError):
        await keys.ping()


def _token(**changes: Any) -> str:
    claims = {
        "iss": "i",
        "aud": "a",
        "sub": "user",
        "sid": "session",
        "jti": "1",
        "scope": "*",
        "exp": datetime.now(UTC) + timedelta(hours=2),
    }
    return jwt.encode({**claims, **changes}, KEY, "EdDSA", headers={"kid": "first", "typ": "at+jwt"})


async def test_a_token_is_verified_once() -> None:
    fetch = Fetch()
    keys = _keys(fetch, Time())
    asked: list[str] = []

    class Counting(PublicKeys):
        async def get(self, key_id: str) -> Any:
            asked.append(key_id)
            return await keys.get(key_id)

    tokens = AccessTokens(Counting(fetch, min_interval_seconds=5), "i", "a", lambda: datetime.now(UTC))
    token = _token()
    principals = [await tokens.verify(token) for _ in range(3)]
    assert set(principals) == {Principal("user", "token", "session", ("*",))}
    assert len(asked) == 1
    with pytest.raises(InvalidAccessTokenError):
        await tokens.verify(token[:-4] + "AAAA")
    assert len(asked) == 2


async def test_a_revocation_outlives_every_token_of_the_session() -> None:
    """An access token lives 2 h, and the gateway must not forget a revocation before that."""
    time = Time()
    time.seconds = datetime.now(UTC).timestamp()
    tokens = AccessTokens(_keys(Fetch(), time), "i", "a", time.now)
    token = _token()
    await tokens.verify(token)
    tokens.revoke_session("session")
    for _ in range(3):
        with pytest.raises(InvalidAccessTokenError):
            await tokens.verify(token)
        time.seconds += 0.9 * 3600
    assert REVOKED_SECONDS > 2 * 3600


class Auth:
    """auth_service's verdicts on API keys, which come when `release` is set."""

    def __init__(self) -> None:
        self.verdict: tuple[int, Any] = (200, {"user_id": "u", "key_id": "k", "scopes": ["*"], "expires_at": None})
        self.count = 0
        self.release = asyncio.Event()
        self.release.set()

    async def __call__(self, _key: str) -> tuple[int, Any]:
        self.count += 1
        verdict = self.verdict
        await self.release.wait()
        return verdict


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


async def test_a_key_is_believed_and_refused_for_their_times() -> None:
    auth, time = Auth(), Time()
    keys = ApiKeys(auth, 30, 10, time.now)
    await keys.verify(API_KEY)
    auth.verdict = (404, {})
    time.seconds += 29
    await keys.verify(API_KEY)
    assert auth.count == 1
    time.seconds += 2
    for _ in range(2):
        with pytest.raises(InvalidApiKeyError):
            await keys.verify(API_KEY)
    assert auth.count == 2
    time.seconds += 11
    with pytest.raises(InvalidApiKeyError):
        await keys.verify(API_KEY)
    assert auth.count == 3


async def test_an_answer_overtaken_by_a_revocation_is_not_kept() -> None:
    auth = Auth()
    auth.release.clear()
    keys = ApiKeys(auth, 30, 10, Time().now)
    asking = asyncio.create_task(keys.verify(API_KEY))
    await eventually(lambda: auth.count == 1)
    auth.verdict = (404, {})
    keys.revoke(_digest(API_KEY))
    auth.release.set()
    await asking
    with pytest.raises(InvalidApiKeyError):
        await keys.verify(API_KEY)


async def test_a_client_that_leaves_does_not_take_the_answer_from_the_others() -> None:
    auth = Auth()
    auth.release.clear()
    keys = ApiKeys(auth, 30, 10, Time().now)
    first, second = (asyncio.create_task(keys.verify(API_KEY)) for _ in range(2))
    await eventually(lambda: auth.count == 1)
    first.cancel()
    auth.release.set()
    assert (await second).user_id == "u"
    assert auth.count == 1


def test_signatures_are_used_for_ten_seconds_and_one_principal() -> None:
    time = Time()
    tokens = InternalTokens("s" * 32, "gateway", time.now)
    signatures = Signatures(tokens, time.monotonic)
    one, other = Principal("1", "token", "s"), Principal("1", "token", "t")
    first = signatures.of(one)
    assert signatures.of(one) == first
    assert len({first, signatures.of(other), signatures.of(None)}) == 3
    time.seconds += 10
    assert signatures.of(one) != first


class Session:
    """Refuses connections to the instances in `down`, and records who was asked."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.asked: list[str] = []

    async def request(self, _method: str, url: Any, **_options: Any) -> str:
        self.asked.append(str(url.host))
        if url.host in self.down:
            raise aiohttp.ClientConnectorError(_connection_key(), OSError("refused"))
        return str(url.host)


def _connection_key() -> Any:
    class Key:
        host, port, is_ssl, ssl = "h", 1, False, True

    return Key()


def _upstream(session: Any, *urls: str, time: Time | None = None) -> Upstream:
    instances = Instances(urls, 2, (time or Time()).monotonic)
    return Upstream("call", instances, session, RetryBudget())


async def _send(upstream: Upstream) -> Any:
    return await upstream.send("GET", "/", {})


async def test_instances_take_turns() -> None:
    upstream = _upstream(Session(), "http://a", "http://b", "http://c")
    assert sorted([await _send(upstream) for _ in range(6)]) == ["a", "a", "b", "b", "c", "c"]


async def test_an_instance_that_is_down_is_asked_again_after_a_while() -> None:
    session, time = Session(), Time()
    upstream = _upstream(session, "http://a", "http://b", time=time)
    session.down = {"a"}
    assert [await _send(upstream) for _ in range(6)] == ["b"] * 6
    assert session.asked.count("a") == 1
    session.down = set()
    time.seconds += 2
    assert {await _send(upstream) for _ in range(2)} == {"a", "b"}


async def test_when_all_are_down_each_is_tried_once() -> None:
    session = Session()
    session.down = {"a", "b"}
    upstream = _upstream(session, "http://a", "http://b")
    for _ in range(2):
        session.asked.clear()
        with pytest.raises(UnavailableError):
            await _send(upstream)
        assert sorted(session.asked) == ["a", "b"]


async def test_log_lines_are_written_in_batches_and_none_is_lost() -> None:
    stream = io.BytesIO()
    log = AccessLog(stream)
    for number in range(450):
        log.write(number=number)
    assert stream.getvalue().count(b"\n") == 400
    await eventually(lambda: stream.getvalue().count(b"\n") == 450)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["number"] for line in lines] == list(range(450))
    assert lines[0]["message"] == "request"
    assert lines[0]["timestamp"].endswith("Z")


@pytest.mark.parametrize("failure", [lambda: False, lambda: 1 / 0])
async def test_repeated_work_is_tried_again_soon_when_it_fails(failure: Callable[[], bool]) -> None:
    outcomes: list[Callable[[], bool]] = [failure, lambda: True]
    count = 0

    async def work() -> bool:
        nonlocal count
        count += 1
        return outcomes[min(count, 2) - 1]()

    async with repeating(work, 3600):
        await eventually(lambda: count == 2, limit_seconds=5)
    assert count == 2
