"""What came of a scenario, and of all of a run."""

from collections.abc import Sequence
from math import ceil
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from call_service.voice.ports import AnsweredBy, Role

CHECK_EXAMPLE: dict[str, Any] = {"rule": "says", "wanted": "Bright Dental", "ok": True, "found": "said"}


class Check(BaseModel):
    """One expectation: what was wanted, and what was found."""

    model_config = ConfigDict(json_schema_extra={"example": CHECK_EXAMPLE})

    rule: str
    wanted: str
    ok: bool
    found: str


class PlayedTurn(BaseModel):
    """One line of the transcript; milliseconds since the answer."""

    role: Role
    text: str
    start_ms: int
    end_ms: int
    interrupted: bool


class ScenarioReport(BaseModel):
    """One scenario that was played. `words` are those the callee said, `word_errors` how many were misunderstood."""

    name: str
    category: str
    line: str
    ok: bool
    checks: list[Check]
    status: str
    reason: str
    answered_by: AnsweredBy | None
    transcript: list[PlayedTurn]
    said: list[str]
    data: dict[str, str]
    tools: list[str]
    voice_to_voice_ms: list[int]
    word_errors: int
    words: int
    seconds: float


class Summary(BaseModel):
    """All of a run in a few figures. `word_error_rate` is of all words together, None where nobody spoke."""

    total: int
    passed: int
    failed: int
    voice_to_voice_p50_ms: int | None
    voice_to_voice_p95_ms: int | None
    word_error_rate: float | None

    @classmethod
    def of(cls, reports: Sequence[ScenarioReport]) -> Self:
        passed = sum(report.ok for report in reports)
        waits = [wait for report in reports for wait in report.voice_to_voice_ms]
        said = sum(report.words for report in reports)
        return cls(
            total=len(reports),
            passed=passed,
            failed=len(reports) - passed,
            voice_to_voice_p50_ms=percentile(waits, 50),
            voice_to_voice_p95_ms=percentile(waits, 95),
            word_error_rate=round(sum(report.word_errors for report in reports) / said, 4) if said else None,
        )


def percentile(values: Sequence[int], percent: int) -> int | None:
    """By nearest rank; None of nothing."""
    return sorted(values)[ceil(len(values) * percent / 100) - 1] if values else None
