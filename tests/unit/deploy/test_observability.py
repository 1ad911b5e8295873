"""Dashboards, alerts and runbooks speak only of what the code measures, and of each other."""

import importlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

DEPLOY = Path(__file__).parents[3] / "deploy"
ALERTS = DEPLOY / "alerts" / "talkstack.yml"
DASHBOARD = DEPLOY / "dashboards" / "talkstack.json"
RUNBOOKS = sorted((DEPLOY / "runbooks").glob("*.md"))
OPERATIONS = DEPLOY.parent / "docs" / "operations.md"
RULES_TEST = Path(__file__).with_name("alerts_test.yml")
PROCESSES = (
    "auth_service.app",
    "call_service.app",
    "call_service.carriers.rtp.engine",  # loaded by a worker once it has a trunk
    "call_service.dialer.app",
    "gateway.app",
    "project_service.app",
)
METRIC = re.compile(r"\b(talkstack_\w+)(?:\{((?:\"[^\"]*\"|[^}\"])*)\})?")
BY = re.compile(r"by \(([^)]*)\)\s*\((.*)")


@pytest.fixture(scope="module")
def labels() -> dict[str, set[str]]:
    """The labels of every series that our processes export."""
    for name in PROCESSES:
        importlib.import_module(name)
    scraped = {"job", "instance", "le"}
    return {
        series: scraped | set(getattr(collector, "_labelnames", ()))
        for series, collector in REGISTRY._names_to_collectors.items()
    }


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    drawn = [target["expr"] for panel in panels for target in panel["targets"]]
    return drawn + re.findall(r"^        expr: (.+)$", ALERTS.read_text(), re.MULTILINE)


def alerts() -> set[str]:
    return set(re.findall(r"- alert: (\w+)", ALERTS.read_text()))


@pytest.mark.parametrize("text", expressions())
def test_an_expression_uses_series_and_labels_that_exist(text: str, labels: dict[str, set[str]]) -> None:
    found = METRIC.findall(text)
    assert found
    for series, matchers in found:
        assert series in labels
        assert set(re.findall(r"(\w+)(?:=|!)", re.sub(r'"[^"]*"', "", matchers))) <= labels[series]
    for grouped, rest in BY.findall(text):
        first = METRIC.search(rest)
        assert first
        assert {name.strip() for name in grouped.split(",")} <= labels[first[1]]


@pytest.mark.parametrize("page", [*RUNBOOKS, OPERATIONS], ids=lambda page: page.stem)
def test_a_page_names_series_that_exist(page: Path, labels: dict[str, set[str]]) -> None:
    """A counter may be named with or without the `_total` of its series."""
    for series, _ in METRIC.findall(page.read_text()):
        assert {series, f"{series}_total", f"{series}_bucket"} & labels.keys(), series


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    named = set(re.findall(r"runbook: deploy/runbooks/(\w+)\.md", ALERTS.read_text()))
    assert named == alerts() == {page.stem for page in RUNBOOKS}


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_a_runbook_says_what_to_look_at_and_what_to_do(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Look", "Do"]


def test_every_metric_of_ours_is_explained(labels: dict[str, set[str]]) -> None:
    """One line of the table for each; the series of a counter or histogram are one metric."""
    ours = {
        re.sub(r"_(total|created|bucket|count|sum)$", "", series)
        for series in labels
        if series.startswith("talkstack_")
    }
    explained = set(re.findall(r"^\| `(talkstack_\w+)`", OPERATIONS.read_text(), re.MULTILINE))
    assert explained == ours


WAITING_ON_PURPOSE = {
    "/agent/{agentId}/documents",
    "/batch/{batch_id}/cancel",  # as quick as others, but named like the one that waits
    "/batch/{batch_id}/result.csv",
    "/call/analysis",
    "/call/batch-call",
    "/call/{call_id}/cancel",
    "/call/{call_id}/dtmf",
    "/call/{call_id}/events",
    "/call/{call_id}/hold",
    "/call/{call_id}/pcap",
    "/call/{call_id}/recording",
    "/call/{call_id}/say",
    "/call/{call_id}/transfer",
    "/call/{call_id}/unhold",
    "/events",
    "/events/ws",
    "/project/{projectId}/provider-keys/{provider}/test",
    "/voices/{voice_id}/preview.wav",
}


@pytest.mark.parametrize("file", [ALERTS, DASHBOARD], ids=["alert", "dashboard"])
def test_what_waits_on_purpose_makes_nobody_call_the_api_slow(file: Path) -> None:
    [left_out] = re.findall(r'request_seconds_bucket\{route!~\\?"([^"\\]+)', file.read_text())
    paths = json.loads((OPERATIONS.parent / "openapi.json").read_text())["paths"]
    assert {path for path in paths if re.fullmatch(left_out, path)} == WAITING_ON_PURPOSE


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of Debian's package prometheus")
@pytest.mark.parametrize("command", [("check", "rules", ALERTS), ("test", "rules", RULES_TEST)], ids=["check", "test"])
def test_prometheus_takes_the_rules(command: tuple[str | Path, ...]) -> None:
    checked = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
