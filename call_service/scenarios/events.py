"""The event of a finished test."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from call_service.scenarios.domain import AgentTest
from call_service.scenarios.report import Summary
from call_service.scenarios.schemas import SUMMARY_EXAMPLE
from shared import outbox
from shared.asyncapi import EventType
from shared.db import Tx

TESTED = "agent.tested"


class TestedScenario(BaseModel):
    """One scenario, on one line, that was played."""

    name: str
    line: str
    passed: bool


class AgentTested(BaseModel):
    """How a version of an agent did; the whole report is at `GET /agent/{agentId}/test/{testId}`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "testId": "0192f0c1-9999-7c44-9f3e-1b2a4c5d6e7f",
                "agentId": "0192f0c1-2222-7c44-9f3e-1b2a4c5d6e7f",
                "version": 3,
                "passed": True,
                "summary": SUMMARY_EXAMPLE,
                "scenarios": [{"name": "books an appointment", "line": "20 dB", "passed": True}],
            }
        },
    )

    test_id: str = Field(serialization_alias="testId")
    agent_id: str = Field(serialization_alias="agentId")
    version: int
    passed: bool
    summary: Summary
    scenarios: list[TestedScenario]


TYPES = (EventType(TESTED, AgentTested, "Simulated callers have tested a version of an agent."),)


async def publish(tx: Tx, test: AgentTest) -> None:
    """Write the event to the outbox."""
    tested = AgentTested(
        test_id=test.id,
        agent_id=test.agent_id,
        version=test.agent_version,
        passed=test.status == "passed",
        summary=Summary.of(test.reports),
        scenarios=[TestedScenario(name=one.name, line=one.line, passed=one.ok) for one in test.reports],
    )
    data: dict[str, Any] = tested.model_dump(mode="json", by_alias=True)
    await outbox.add(
        tx,
        source="call_service",
        type=TESTED,
        subject=test.agent_id,
        tenant=test.tenant,
        project_id=test.project_id,
        data=data,
    )
