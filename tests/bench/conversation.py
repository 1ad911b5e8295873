"""Conversations: what agents make of simulated callers over real audio, scored."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from tests.bench.rig import Rig
from tests.bench.sections import Cell, Section, load_average, percentile

SCENARIOS = Path(__file__).parent / "scenarios"
AGENT_TESTS = 5  # as many tests of one user may be open
POLL_SECONDS = 1.0
CONDITIONS = ("clean", "25 dB", "20 dB", "15 dB", "1 % loss")
SAME_WORDS = "The same callers say the same words on each line, so that the rows differ by the line alone."
BUILT_IN = "The agents think with the built-in brain, and hear and speak with the local engines; 8 calls at a time."

Report = Mapping[str, Any]


async def conversation(rig: Rig) -> list[Section]:
    """About 5 minutes: every scenario of `tests/bench/scenarios`, by `POST /agent/{agentId}/test`."""
    load_before = load_average()
    places = asyncio.Semaphore(AGENT_TESTS)
    suites = [orjson.loads(path.read_bytes()) for path in sorted(SCENARIOS.glob("*.json"))]
    played = await asyncio.gather(*(_play(rig, suite, places) for suite in suites))
    reports = [report for of_file in played for report in of_file]
    return [
        _score(reports, load_before),
        _understood(reports, load_before),
        _waits(reports, load_before),
        _failures(reports, load_before),
    ]


async def _play(rig: Rig, suite: Mapping[str, Any], places: asyncio.Semaphore) -> list[Report]:
    customer = rig.customer
    new_agent = {**suite["agent"], "projectId": customer.project_id}
    agent = (await customer.api.ask("POST", "/agent/create-agent", new_agent))["data"]["id"]
    body = {"projectId": customer.project_id, "scenarios": suite["scenarios"], "lines": suite.get("lines", [])}
    async with places:
        test = await customer.api.ask("POST", f"/agent/{agent}/test", body)
        while test["finished_at"] is None:
            await asyncio.sleep(POLL_SECONDS)
            test = await customer.api.ask("GET", f"/agent/{agent}/test/{test['id']}")
    return [one["report"] for one in test["scenarios"]]


def _score(reports: Sequence[Report], load_before: float) -> Section:
    categories = sorted({report["category"] for report in reports})
    rows = [_passed(name, [one for one in reports if one["category"] == name]) for name in categories]
    columns = ("scenarios", "passed", "of", "score %")
    return Section("Conversations", columns, [*rows, _passed("all", reports)], load_before, (BUILT_IN,))


def _passed(name: str, reports: Sequence[Report]) -> tuple[Cell, ...]:
    passed = sum(report["ok"] for report in reports)
    return name, passed, len(reports), 100 * passed / len(reports)


def _understood(reports: Sequence[Report], load_before: float) -> Section:
    by_name: dict[str, dict[str, Report]] = {}
    for report in reports:
        by_name.setdefault(report["name"], {})[report["line"]] = report
    everywhere = [lines for lines in by_name.values() if set(CONDITIONS) <= lines.keys()]
    rows = [_word_errors(line, [lines[line] for lines in everywhere]) for line in CONDITIONS]
    columns = ("line", "callers", "words", "errors", "word error rate %")
    return Section("What was recognised", columns, rows, load_before, (SAME_WORDS,))


def _word_errors(line: str, reports: Sequence[Report]) -> tuple[Cell, ...]:
    errors, words = (sum(report[key] for report in reports) for key in ("word_errors", "words"))
    return line, len(reports), words, errors, 100 * errors / words


def _waits(reports: Sequence[Report], load_before: float) -> Section:
    waits = [wait for report in reports for wait in report["voice_to_voice_ms"]]
    row = (len(waits), percentile(waits, 50), percentile(waits, 95))
    return Section("Voice to voice", ("answers", "p50 ms", "p95 ms"), [row], load_before)


def _failures(reports: Sequence[Report], load_before: float) -> Section:
    rows = [(report["name"], report["line"], _reasons(report)) for report in reports if not report["ok"]]
    return Section("What failed", ("scenario", "line", "expectation"), rows, load_before)


def _reasons(report: Report) -> str:
    failed = [check for check in report["checks"] if not check["ok"]]
    return "; ".join(f"{check['rule']}: {check['wanted']}, but {check['found']}" for check in failed)
