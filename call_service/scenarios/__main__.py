"""`python -m call_service.scenarios run FILE …`: tests agents in this process, without a server."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import click
import orjson
from pydantic import SecretStr
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from call_service.kept import Kept
from call_service.llm import LlmClient, LlmSettings
from call_service.projects import VendorKey
from call_service.scenarios.report import ScenarioReport, Summary
from call_service.scenarios.scenario import Scenario
from call_service.scenarios.stage import Cast, Stage, open_stage
from call_service.scenarios.suite import ScenarioFileError, play_all, read_agent, read_suite
from call_service.vendors.equipment import Vendors
from call_service.vendors.models import Sessions
from call_service.voice.brain import build_brain
from call_service.voice.engines.bundle import SpeechUnavailableError, load_engines

FAILED = 1


async def _no_keys(_tenant: str, _project_id: str) -> Mapping[str, VendorKey]:
    """There is no project here that could have keys of vendors."""
    return {}


def model_of(environment: Mapping[str, str]) -> LlmClient | None:
    """The model that LLM_BASE_URL, LLM_MODEL and LLM_API_KEY name, None for the built-in brain."""
    if not (base_url := environment.get("LLM_BASE_URL")):
        return None
    settings = LlmSettings(
        base_url=base_url.rstrip("/"),
        model=environment.get("LLM_MODEL", "gpt-4o-mini"),
        api_key=SecretStr(environment.get("LLM_API_KEY", "")),
    )
    return LlmClient(settings)


@asynccontextmanager
async def local_stage() -> AsyncIterator[Stage]:
    """Local speech engines, and the brain that the environment names.

    Raises:
        SpeechUnavailableError: this machine has no local speech.
    """
    engines = await load_engines()
    brain, sessions = build_brain(model_of(os.environ)), Sessions(allow_private=False)
    try:
        async with open_stage(engines, brain, Vendors(Kept(_no_keys), sessions, {})) as stage:
            yield stage
    finally:
        await brain.close()
        await sessions.close()
        engines.close()


def load(files: Sequence[Path], agent: Path | None, only: str = "") -> list[tuple[Scenario, Cast]]:
    """Every scenario of the files that has `only` in its name or line, with the agent that it tests.

    Raises:
        ScenarioFileError: a file can't be used, there is no agent, or no such scenario.
    """
    named = read_agent(agent) if agent else None
    found: list[tuple[Scenario, Cast]] = []
    for path in files:
        suite = read_suite(path)
        cast = named or suite.cast()
        if cast is None:
            raise ScenarioFileError(f"{path}: agent: the file has none; name one with --agent")
        if any((cast.agent.get("providers") or {}).values()):
            raise ScenarioFileError(f"{path}: agent.providers: vendors need a project's keys; use POST /agent/…/test")
        found += [(scenario, cast) for scenario in suite.played() if only in f"{scenario.name} ({scenario.line.label})"]
    if not found:
        raise ScenarioFileError(f"--only: no scenario has {only!r} in its name")
    return found


def table(reports: Sequence[ScenarioReport]) -> Table:
    """A row a scenario, and what failed in it."""
    found = Table(title=None, title_justify="left")
    for column in ("scenario", "line", "", "ended", "slowest answer", "words missed", "what failed"):
        found.add_column(column, justify="right" if column in {"slowest answer", "words missed"} else "left")
    for report in reports:
        failed = "; ".join(
            f"{check.rule}: {check.wanted}, but {check.found}" for check in report.checks if not check.ok
        )
        slowest = f"{max(report.voice_to_voice_ms)} ms" if report.voice_to_voice_ms else ""
        missed = f"{report.word_errors}/{report.words}" if report.words else ""
        mark = "[green]✓" if report.ok else "[red]✗"
        found.add_row(report.name, report.line, mark, report.reason, slowest, missed, failed)
    return found


async def play_here(pairs: Sequence[tuple[Scenario, Cast]], at_once: int, console: Console) -> list[ScenarioReport]:
    """Play with the local engines, showing how far it is."""
    async with local_stage() as stage:
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("scenarios", total=len(pairs))
            return await play_all(pairs, stage, at_once, lambda _report: progress.advance(task))


@click.group()
def main() -> None:
    """Tests agents with simulated callers; see docs/testing-agents.md."""


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--agent", type=click.Path(path_type=Path), help="JSON of the agent, instead of those of the files.")
@click.option("--only", default="", metavar="TEXT", help="Only scenarios whose name or line has TEXT in it.")
@click.option("--at-once", type=click.IntRange(1, 40), default=4, show_default=True, help="Calls at a time.")
@click.option("--json", "report", type=click.Path(path_type=Path), help="Write the whole report there.")
def run(files: tuple[Path, ...], agent: Path | None, only: str, at_once: int, report: Path | None) -> None:
    """Play the scenarios of FILES; the exit status is 1 when one of them failed."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        reports = asyncio.run(play_here(load(files, agent, only), at_once, console))
    except (ScenarioFileError, SpeechUnavailableError) as error:
        raise click.ClickException(str(error)) from error
    console.print(table(reports))
    summary = Summary.of(reports)
    console.print(f"{summary.passed} of {summary.total} scenarios passed.")
    if report:
        whole = {"summary": summary.model_dump(), "scenarios": [one.model_dump() for one in reports]}
        report.write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2))
    if summary.failed:
        raise SystemExit(FAILED)


if __name__ == "__main__":
    main()
