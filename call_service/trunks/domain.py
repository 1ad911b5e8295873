"""A trunk, how it does, and the tests of it, without I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

TAKEN_WITHIN = timedelta(minutes=1)
LONGEST_TEST = timedelta(minutes=2)

TrunkHealth = Literal["unknown", "up", "down"]
TestStatus = Literal["waiting", "running", "passed", "failed", "expired"]


@dataclass(frozen=True, slots=True)
class Trunk:
    """A trunk as stored; `password` is sealed, and empty where there is none."""

    id: str
    tenant: str
    name: str
    host: str
    port: int | None
    transport: Literal["udp", "tcp", "tls"]
    srtp: Literal["off", "optional", "required"]
    username: str
    password: str
    realm: str
    registers: bool
    inbound: Literal["address", "digest"]
    allowed_addresses: list[str]
    calls_per_second: float
    max_concurrent: int
    created_at: datetime
    updated_at: datetime
    numbers: list[str]


@dataclass(frozen=True, slots=True)
class WorkerState:
    """How a trunk does at one worker, unchanged but for `calls` since `since`. None: not asked."""

    worker: str
    is_registered: bool | None
    is_reachable: bool | None
    last_error: str | None
    calls: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Test:
    """A test of a trunk; `age` is since it was asked for."""

    id: str
    trunk_id: str
    number: str | None
    worker: str | None
    steps: list[dict[str, Any]]
    created_at: datetime
    finished_at: datetime | None
    age: timedelta

    @property
    def status(self) -> TestStatus:
        """`expired`: no worker took it, or the one that did is gone."""
        if self.finished_at:
            return "passed" if self.steps and all(step["ok"] for step in self.steps) else "failed"
        if self.age > (LONGEST_TEST if self.worker else TAKEN_WITHIN):
            return "expired"
        return "running" if self.worker else "waiting"


def health(states: Sequence[WorkerState], *, registers: bool) -> TrunkHealth:
    """Whether calls can go through: some worker reaches it and, where it registers, some worker is registered."""
    reached = [state.is_reachable for state in states if state.is_reachable is not None]
    registered = [state.is_registered for state in states if state.is_registered is not None]
    if not reached or (registers and not registered):
        return "unknown"
    return "up" if any(reached) and (any(registered) or not registers) else "down"
