"""Bodies of requests and answers about tests of agents."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from call_service.scenarios.domain import AgentTest, Part, PartStatus, TestStatus
from call_service.scenarios.report import CHECK_EXAMPLE, ScenarioReport, Summary
from call_service.scenarios.scenario import EXAMPLE, Lines, Scenarios
from shared.clock import rfc3339

_PROJECT_ID = "0192f0c1-1111-7c44-9f3e-1b2a4c5d6e7f"
_AGENT_ID = "0192f0c1-2222-7c44-9f3e-1b2a4c5d6e7f"
_TEST_ID = "0192f0c1-9999-7c44-9f3e-1b2a4c5d6e7f"

SUMMARY_EXAMPLE: dict[str, Any] = {
    "total": 1,
    "passed": 1,
    "failed": 0,
    "voice_to_voice_p50_ms": 540,
    "voice_to_voice_p95_ms": 780,
    "word_error_rate": 0.04,
}
_REPORT_EXAMPLE: dict[str, Any] = {
    "name": "books an appointment",
    "category": "general",
    "line": "20 dB, 1 % loss",
    "ok": True,
    "checks": [CHECK_EXAMPLE],
    "status": "completed",
    "reason": "callee_hung_up",
    "answered_by": "human",
    "transcript": [
        {"role": "agent", "text": "Hello, this is Bright Dental.", "start_ms": 60, "end_ms": 2100, "interrupted": False}
    ],
    "said": ["Hello?"],
    "data": {"day": "Thursday", "name": "Anna Miller"},
    "tools": [],
    "voice_to_voice_ms": [540, 780],
    "word_errors": 1,
    "words": 25,
    "seconds": 31.4,
}


class AgentTestBody(BaseModel):
    """Scenarios to play against the newest version of an agent. With `lines` each is played once on each of them."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"projectId": _PROJECT_ID, "scenarios": [EXAMPLE]}}
    )

    project_id: str = Field(alias="projectId", min_length=1, max_length=64)
    # As they came: a process beside this one checks them.
    scenarios: SkipValidation[Scenarios]
    lines: SkipValidation[Lines] = ()

    @property
    def unchecked(self) -> dict[str, Any]:
        """What was sent as the values of a `ScenarioSet`."""
        return {"scenarios": self.scenarios, "lines": self.lines}


class PartObject(BaseModel):
    """One scenario, and its report once it was played."""

    name: str
    category: str
    line: str
    status: PartStatus
    report: ScenarioReport | None

    @classmethod
    def of(cls, part: Part) -> Self:
        scenario = part.scenario
        return cls(
            name=scenario.name,
            category=scenario.category,
            line=scenario.line.label,
            status=part.status,
            report=part.report,
        )


_TEST_EXAMPLE: dict[str, Any] = {
    "id": _TEST_ID,
    "projectId": _PROJECT_ID,
    "agentId": _AGENT_ID,
    "agentVersion": 3,
    "status": "passed",
    "summary": SUMMARY_EXAMPLE,
    "created_at": "2026-11-25T09:00:00.000Z",
    "finished_at": "2026-11-25T09:00:41.000Z",
}


class AgentTestSummary(BaseModel):
    """A test of an agent in a list. `summary` is of the scenarios that were played so far."""

    id: str
    project_id: str = Field(serialization_alias="projectId")
    agent_id: str = Field(serialization_alias="agentId")
    agent_version: int = Field(serialization_alias="agentVersion")
    status: TestStatus
    summary: Summary
    created_at: str
    finished_at: str | None

    @classmethod
    def of(cls, test: AgentTest) -> Self:
        return cls(**cls.values(test))

    @staticmethod
    def values(test: AgentTest) -> dict[str, Any]:
        """What every view of a test has."""
        return {
            "id": test.id,
            "project_id": test.project_id,
            "agent_id": test.agent_id,
            "agent_version": test.agent_version,
            "status": test.status,
            "summary": Summary.of(test.reports),
            "created_at": rfc3339(test.created_at),
            "finished_at": rfc3339(test.finished_at) if test.finished_at else None,
        }


class AgentTestList(BaseModel):
    """A page of an agent's tests, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"data": [_TEST_EXAMPLE], "next_cursor": None}})

    data: list[AgentTestSummary]
    next_cursor: str | None


class AgentTestObject(AgentTestSummary):
    """A test of an agent. Its scenarios are played by workers, several at a time; nobody is called."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **_TEST_EXAMPLE,
                "scenarios": [
                    {
                        "name": "books an appointment",
                        "category": "general",
                        "line": "20 dB, 1 % loss",
                        "status": "passed",
                        "report": _REPORT_EXAMPLE,
                    }
                ],
            }
        }
    )

    scenarios: list[PartObject]

    @classmethod
    def of(cls, test: AgentTest) -> Self:
        return cls(**cls.values(test), scenarios=[PartObject.of(part) for part in test.parts])
