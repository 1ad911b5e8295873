"""Which instance is asked, and how often a request is repeated."""

from collections import Counter
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.instances import FAILURES, Instance, Instances, RetryBudget
from gateway.upstreams import Upstream
from shared.errors import BadGatewayError


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def _instances(*urls: str) -> tuple[Instances, Time]:
    time = Time()
    return Instances(urls or ("a", "b"), 2, time), time


def _first(instances: Instances, rounds: int = 6) -> Counter[str]:
    return Counter(instances.candidates()[0].base_url for _ in range(rounds))


def _named(instances: Instances, url: str) -> Instance:
    return next(one for one in instances.candidates() if one.base_url == url)


def _fail(instances: Instances, url: str, times: int = 1, *, is_useless: bool = False) -> None:
    instance = _named(instances, url)
    for _ in range(times):
        instances.begin(instance)
        instances.failed(instance, is_useless=is_useless)


def test_some_failures_in_a_row_eject_and_a_success_between_them_does_not() -> None:
    instances, _ = _instances()
    _fail(instances, "a", FAILURES - 1)
    instances.succeeded(_named(instances, "a"))
    _fail(instances, "a", FAILURES - 1)
    assert _first(instances) == {"a": 3, "b": 3}
    _fail(instances, "a")
    assert _first(instances) == {"b": 6}


def test_one_that_can_not_be_reached_is_left_out_at_once() -> None:
    instances, _ = _instances()
    _fail(instances, "a", is_useless=True)
    assert _first(instances) == {"b": 6}
    assert [one.base_url for one in instances.candidates()] == ["b", "a"]


def test_after_its_time_one_request_tries_it() -> None:
    instances, time = _instances()
    _fail(instances, "a", is_useless=True)
    time.seconds += 2
    assert _first(instances) == {"a": 3, "b": 3}
    instances.begin(_named(instances, "a"))
    assert _first(instances) == {"b": 6}
    instances.succeeded(_named(instances, "a"))
    assert _first(instances) == {"a": 3, "b": 3}


def test_a_trial_that_says_nothing_frees_the_place_for_the_next() -> None:
    instances, time = _instances()
    _fail(instances, "a", is_useless=True)
    time.seconds += 2
    instances.begin(_named(instances, "a"))
    instances.undecided(_named(instances, "a"))
    assert _first(instances) == {"a": 3, "b": 3}


def test_each_failed_trial_doubles_the_time_up_to_a_limit() -> None:
    instances, time = _instances()
    _fail(instances, "a", is_useless=True)
    spans = []
    for _ in range(5):
        ejected = _named(instances, "a").ejected_until - time.seconds
        spans.append(ejected)
        time.seconds += ejected
        _fail(instances, "a")
    assert spans == [2, 4, 8, 16, 32]
    assert _named(instances, "a").ejected_until - time.seconds == 32


def test_a_new_list_keeps_what_is_known_of_those_that_stay() -> None:
    instances, _ = _instances("a", "b")
    _fail(instances, "a", is_useless=True)
    instances.replace(["a", "c"])
    assert _first(instances) == {"c": 6}


@given(st.lists(st.booleans(), max_size=2000))
def test_repeated_requests_are_at_most_a_fifth_and_the_reserve(wishes: list[bool]) -> None:
    budget = RetryBudget(share=0.2, reserve=10)
    repeated = 0
    for wish in wishes:
        budget.earn()
        repeated += wish and budget.spend()
    assert repeated <= 10 + 0.2 * len(wishes)


class Session:
    """Loses the connection of so many requests, then answers."""

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.asked: list[str] = []

    async def request(self, _method: str, url: Any, **_options: Any) -> Any:
        self.asked.append(str(url.host))
        if len(self.asked) <= self.losses:
            raise aiohttp.ServerDisconnectedError
        return self


def _upstream(session: Session, budget: RetryBudget | None = None, *urls: str) -> Upstream:
    return Upstream("call", Instances(urls or ("http://a", "http://b"), 2), session, budget or RetryBudget())


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_idempotent_requests_are_repeated_once_elsewhere(method: str) -> None:
    session = Session(losses=1)
    await _upstream(session).send(method, "/", {}, b"{}")
    assert sorted(session.asked) == ["a", "b"]
    session = Session(losses=2)
    with pytest.raises(BadGatewayError):
        await _upstream(session).send(method, "/", {}, b"{}")
    assert len(session.asked) == 2


async def test_the_only_instance_is_asked_again() -> None:
    session = Session(losses=1)
    await _upstream(session, None, "http://a").send("GET", "/", {})
    assert session.asked == ["a", "a"]


async def _stream() -> Any:
    yield b"x"


@pytest.mark.parametrize(("method", "body"), [("POST", b"{}"), ("PATCH", None), ("PUT", _stream())])
async def test_what_may_have_had_an_effect_or_is_half_sent_is_not_repeated(method: str, body: Any) -> None:
    session = Session(losses=1)
    with pytest.raises(BadGatewayError):
        await _upstream(session).send(method, "/", {}, body)
    assert len(session.asked) == 1


async def test_without_budget_nothing_is_repeated() -> None:
    session = Session(losses=100)
    upstream = _upstream(session, RetryBudget(reserve=3))
    for _ in range(20):
        with pytest.raises(BadGatewayError):
            await upstream.send("GET", "/", {})
    assert 20 + 3 <= len(session.asked) <= 20 + 3 + 4
