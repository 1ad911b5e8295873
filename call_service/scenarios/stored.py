"""Scenarios and reports as they were stored, perhaps by a release with other rules: pure.

Both are read on event loops, so that the regular expressions of scenarios are not compiled here.
"""

from typing import Any

from pydantic import ValidationError

from call_service.carriers.scripts import ACCEPTED_BEFORE, Script
from call_service.scenarios.judging import Observation, failure
from call_service.scenarios.report import ScenarioReport
from call_service.scenarios.scenario import Expectations, Line, Scenario

UNREADABLE = Observation("failed", "scenario_unreadable")
REPORT_UNREADABLE = Observation("failed", "report_unreadable")


def read_scenario(stored: Any) -> tuple[Scenario, bool]:
    """The scenario, and whether it may be played: of one that is against today's rules only the names are kept."""
    try:
        return Scenario.model_validate(stored, context=ACCEPTED_BEFORE), True
    except ValidationError:
        return stand_in(stored if isinstance(stored, dict) else {}), False


def read_report(stored: Any, scenario: Scenario) -> ScenarioReport:
    """A report; what can't be understood any more is a failed one."""
    try:
        return ScenarioReport.model_validate(stored)
    except ValidationError:
        return failure(scenario, REPORT_UNREADABLE)


def stand_in(stored: dict[str, Any]) -> Scenario:
    """A scenario of which only the names are known: `name`, `category` and `line`, where they can be used."""
    try:
        line = Line.model_validate(stored.get("line") or {})
    except ValidationError:
        line = Line()
    return Scenario.model_construct(
        name=str(stored.get("name") or "unnamed"),
        category=str(stored.get("category") or "general"),
        line=line,
        callee=Script.model_construct(),
        expect=Expectations.model_construct(),
    )
