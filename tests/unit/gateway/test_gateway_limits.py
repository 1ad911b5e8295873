"""The rate limiter, in virtual time, against what its headers promise."""

import os
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.fields import Allowance, Quota
from gateway.limits import Limiter, Policy, RateLimitedError, Standing, Table, fields, network_of

SECOND = 1_000_000_000
POLICIES = st.builds(Policy, st.just("user"), quota=st.integers(1, 50), window_seconds=st.integers(1, 100))
GAPS = st.lists(st.integers(0, 20 * SECOND), min_size=1, max_size=120)


class Time:
    def __init__(self) -> None:
        self.ns = 1_000_000 * SECOND

    def __call__(self) -> int:
        return self.ns


def _limiter() -> tuple[Limiter, Time]:
    time = Time()
    return Limiter(Table(64), time), time


@given(POLICIES, GAPS)
def test_in_any_span_of_time_at_most_the_quota_and_what_came_back_is_allowed(policy: Policy, gaps: list[int]) -> None:
    limiter, time = _limiter()
    allowed: list[int] = []
    for gap in gaps:
        time.ns += gap
        if not limiter.take(policy, "me").retry_ns:
            allowed.append(time.ns)
    for first, began in enumerate(allowed):
        for last in range(first, len(allowed)):
            assert last - first + 1 <= policy.quota + (allowed[last] - began) // policy.interval_ns


@given(POLICIES, GAPS)
def test_what_a_standing_promises_is_kept(policy: Policy, gaps: list[int]) -> None:
    """Exactly `remaining` more pass at once; a refused one passes after `retry_ns`, not before; all after `full_ns`."""
    limiter, time = _limiter()
    for gap in gaps:
        time.ns += gap
        standing = limiter.take(policy, "me")
    passed = 0
    while not (refused := limiter.take(policy, "me")).retry_ns:
        passed += 1
    assert passed == standing.remaining
    time.ns += refused.retry_ns - 1
    assert limiter.take(policy, "me").retry_ns == 1
    time.ns += 1
    accepted = limiter.take(policy, "me")
    assert accepted.retry_ns == 0
    time.ns += accepted.full_ns
    assert limiter.take(policy, "me").remaining == policy.quota - 1


@given(POLICIES, st.integers(1, 200))
def test_a_client_at_the_steady_pace_is_never_refused(policy: Policy, count: int) -> None:
    limiter, time = _limiter()
    for _ in range(count):
        assert not limiter.take(policy, "me").retry_ns
        time.ns += policy.interval_ns


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=60))
def test_subjects_and_policies_do_not_share(order: list[str]) -> None:
    limiter, _ = _limiter()
    policies = [Policy("user", 5, 60), Policy("key", 9, 60)]
    for number, subject in enumerate(order):
        before = order[:number].count(subject)
        for policy in policies:
            assert bool(limiter.take(policy, subject).retry_ns) is (before >= policy.quota)


@given(st.lists(st.integers(0, 10_000), max_size=400))
def test_more_subjects_than_cells_are_let_pass_rather_than_refused(subjects: list[int]) -> None:
    """The table never grows, and forgets; whoever asks once is not refused for somebody else's requests."""
    time = Time()
    limiter = Limiter(Table(16), time)
    policy = Policy("address", 1, 60)
    seen: set[int] = set()
    for subject in subjects:
        standing = limiter.take(policy, str(subject))
        assert subject in seen or not standing.retry_ns
        seen.add(subject)
        time.ns += SECOND


def test_forked_processes_count_together() -> None:
    limiter, policy = Limiter(Table(64)), Policy("user", 10, 3600)
    for _ in range(3):
        pid = os.fork()
        if not pid:
            limiter.take(policy, "me")
            os._exit(0)
        os.waitpid(pid, 0)
    assert limiter.take(policy, "me").remaining == 6


def test_the_fields_of_the_draft() -> None:
    standings = [
        Standing(Policy("address", 600, 60), 599, SECOND // 10),
        Standing(Policy("user", 10, 1), 0, SECOND, 1),
    ]
    assert fields(standings) == {
        "RateLimit-Policy": '"address";q=600;w=60, "user";q=10;w=1',
        "RateLimit": '"address";r=599;t=1, "user";r=0;t=1',
    }


def test_a_refusal_says_when_to_come_back() -> None:
    limiter, _ = _limiter()
    policy = Policy("user", 2, 60)
    standings = [limiter.take(policy, "me") for _ in range(3)]
    error = RateLimitedError(standings[-1])
    assert (error.status, error.code, error.headers["Retry-After"]) == (429, "rate_limited", "30")
    assert "30 s" in error.message


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**64 - 1))
def test_all_addresses_of_one_ipv6_network_are_one_client(address: int, host: int) -> None:
    neighbour = address >> 64 << 64 | host
    assert network_of(str(IPv6Address(address))) == network_of(str(IPv6Address(neighbour)))
    stranger = address ^ 1 << 64
    assert network_of(str(IPv6Address(address))) != network_of(str(IPv6Address(stranger)))


def test_each_ipv4_address_is_a_client() -> None:
    assert len({network_of(address) for address in ("198.51.100.1", "198.51.100.2", "")}) == 3


@pytest.mark.parametrize("text", ["", "600", "600/", "0/60", "600/0", "-1/60", "a/b", "1/2/3", "9999999999/1", 600])
def test_what_is_no_quota(text: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Quota).validate_python(text)


def test_a_quota() -> None:
    assert TypeAdapter(Quota).validate_python("600/60") == Allowance(600, 60)
    assert str(Allowance(600, 60)) == "600/60"
