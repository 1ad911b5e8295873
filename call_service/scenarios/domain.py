"""A run of scenarios against a version of an agent, without I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from call_service.scenarios.report import ScenarioReport
from call_service.scenarios.scenario import Scenario

EXPIRES_AFTER = timedelta(hours=1)
KEPT_FOR = timedelta(days=30)
MAX_OPEN = 5
MAX_TRIES = 5

PartStatus = Literal["waiting", "running", "passed", "failed"]
TestStatus = Literal["waiting", "running", "passed", "failed", "expired"]


@dataclass(frozen=True, slots=True)
class Part:
    """One scenario of a test, by its names alone; without a `worker` nobody plays it yet."""

    scenario: Scenario
    worker: str | None
    report: ScenarioReport | None

    @property
    def status(self) -> PartStatus:
        if self.report:
            return "passed" if self.report.ok else "failed"
        return "running" if self.worker else "waiting"


@dataclass(frozen=True, slots=True)
class AgentTest:
    """A test; `age` is since it was asked for."""

    id: str
    tenant: str
    project_id: str
    agent_id: str
    agent_version: int
    created_at: datetime
    finished_at: datetime | None
    age: timedelta
    parts: tuple[Part, ...]

    @property
    def reports(self) -> list[ScenarioReport]:
        """Of the scenarios that were played."""
        return [part.report for part in self.parts if part.report]

    @property
    def status(self) -> TestStatus:
        """`expired`: no worker took all of it within an hour."""
        if self.finished_at:
            return "passed" if all(report.ok for report in self.reports) else "failed"
        if self.age > EXPIRES_AFTER:
            return "expired"
        return "running" if any(part.worker for part in self.parts) else "waiting"


@dataclass(frozen=True, slots=True)
class Taken:
    """A scenario that a worker plays; unless it `may_be_played`, it is against the rules of today."""

    test_id: str
    position: int
    fence: int
    scenario: Scenario
    tenant: str
    project_id: str
    agent: Mapping[str, Any]
    may_be_played: bool = True

    @property
    def was_lost_too_often(self) -> bool:
        """Did so many workers die over it that it is given up?"""
        return self.fence > MAX_TRIES
