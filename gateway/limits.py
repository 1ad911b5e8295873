"""Rate limits, by the generic cell rate algorithm: a burst of the whole quota, refilled at a steady pace.

A subject's state is one number, the moment at which its quota will be whole again ("theoretical arrival time", ITU-T
I.371). It lives in shared memory that the processes of one gateway inherit, so that together they allow one quota.
Machines share nothing: limits that must hold everywhere, such as tries of a password, are auth_service's.
"""

import mmap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from prometheus_client import Counter

from shared.client import Client
from shared.errors import TooManyRequestsError

REFUSED = Counter("talkstack_gateway_limited", "Requests refused by a rate limit.", ["policy"])
SUBJECTS = 2**18
_WAYS = 4
_CELL_BYTES = 16
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Policy:
    """`quota` requests in `window_seconds` for each subject of the policy `name`."""

    name: str
    quota: int
    window_seconds: int

    @property
    def interval_ns(self) -> int:
        """The time in which one request comes back, rounded up."""
        return -(-self.window_seconds * _NS // self.quota)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a subject stands after a request: `remaining` more may come at once, all of the quota in `full_ns`.

    `retry_ns` is 0, or how long a refused request has to wait.
    """

    policy: Policy
    remaining: int
    full_ns: int
    retry_ns: int = 0


class Table:
    """Numbers by fingerprint in a fixed amount of shared memory.

    A fingerprint belongs into one of four cells. When others have them, the one closest to a whole quota is replaced:
    that forgives a little, to somebody, where more subjects are active than there are cells. Processes write without
    locks; of two that count one subject in the same microsecond, one may be lost.
    """

    def __init__(self, subjects: int = SUBJECTS) -> None:
        self._groups = max(1, subjects // _WAYS)
        self._cells = memoryview(mmap.mmap(-1, self._groups * _WAYS * _CELL_BYTES)).cast("Q")

    def find(self, fingerprint: int) -> tuple[int, int]:
        """The cell for a fingerprint and the number there, 0 when it has none."""
        cells = self._cells
        start = fingerprint % self._groups * _WAYS * 2
        oldest = start
        for cell in range(start, start + _WAYS * 2, 2):
            if cells[cell] == fingerprint:
                return cell, cells[cell + 1]
            if cells[cell + 1] < cells[oldest + 1]:
                oldest = cell
        return oldest, 0

    def put(self, cell: int, fingerprint: int, number: int) -> None:
        self._cells[cell] = fingerprint
        self._cells[cell + 1] = number


class Limiter:
    """Counts requests. `now_ns` is the same clock in all processes of a machine."""

    def __init__(self, table: Table | None = None, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._table = table or Table()
        self._now_ns = now_ns

    def take(self, policy: Policy, subject: str) -> Standing:
        """Count one request of a subject. One that is refused costs nothing."""
        now, interval = self._now_ns(), policy.interval_ns
        whole = interval * policy.quota
        # Of equal hashes only a process could know, since Python's are keyed; children inherit the key.
        fingerprint = hash((policy.name, subject)) & 0xFFFFFFFFFFFFFFFF or 1
        cell, arrival = self._table.find(fingerprint)
        taken = max(arrival, now) + interval - now
        if taken > whole:
            return Standing(policy, 0, taken - interval, taken - whole)
        self._table.put(cell, fingerprint, now + taken)
        return Standing(policy, (whole - taken) // interval, taken)


class RateLimitedError(TooManyRequestsError):
    """Too many requests; try again later."""

    def __init__(self, standing: Standing | None = None) -> None:
        if standing is None:
            super().__init__()
            return
        policy, seconds = standing.policy, _seconds(standing.retry_ns)
        REFUSED.labels(policy.name).inc()
        super().__init__(
            f"More than {policy.quota} requests in {policy.window_seconds} s ({policy.name}); "
            f"try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )


def _seconds(nanoseconds: int) -> int:
    return -(-nanoseconds // _NS)


@lru_cache(64)
def _described(policy: Policy) -> str:
    return f'"{policy.name}";q={policy.quota};w={policy.window_seconds}'


def fields(standings: Sequence[Standing]) -> dict[str, str]:
    """The `RateLimit-Policy` and `RateLimit` fields of an answer (draft-ietf-httpapi-ratelimit-headers-10)."""
    return {
        "RateLimit-Policy": ", ".join(_described(standing.policy) for standing in standings),
        "RateLimit": ", ".join(
            f'"{standing.policy.name}";r={standing.remaining};t={_seconds(standing.full_ns)}' for standing in standings
        ),
    }


@lru_cache(4096)
def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 address, all of which one client has."""
    return Client(address, "").network
