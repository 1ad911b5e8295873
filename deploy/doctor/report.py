"""Findings for people and for programs."""

from collections.abc import Sequence
from dataclasses import asdict

import orjson
from rich.console import Console
from rich.markup import escape

from deploy.doctor.hops import Finding

MARKS = {"ok": "[green]✓[/]", "broken": "[red]✗[/]", "skipped": "[dim]-[/]"}
WIDTH = 18


def show(finding: Finding, console: Console) -> None:
    """One line, and one with the hint."""
    took = f" [dim]({finding.ms} ms)[/]" if finding.state != "skipped" else ""
    console.print(f"{MARKS[finding.state]} {escape(finding.hop):{WIDTH}} {escape(finding.detail)}{took}")
    if finding.hint:
        console.print(f"  {'':{WIDTH}} [yellow]→ {escape(finding.hint)}[/]")


def conclusion(findings: Sequence[Finding]) -> str:
    """What to mend first: hops are in the order in which they depend on each other."""
    broken = [finding.hop for finding in findings if finding.state == "broken"]
    skipped = sum(finding.state == "skipped" for finding in findings)
    if not broken:
        return f"Every hop works{f'; {skipped} could not be asked' if skipped else ''}."
    others = f" Also broken, perhaps because of it: {', '.join(broken[1:])}." if broken[1:] else ""
    return f"Broken: {broken[0]}. Mend it first.{others}"


def as_json(title: str, findings: Sequence[Finding]) -> bytes:
    """One object: `ok`, `broken` (the first broken hop or null), and the hops as they were asked."""
    broken = next((finding.hop for finding in findings if finding.state == "broken"), None)
    report = {"asked": title, "ok": broken is None, "broken": broken, "hops": [asdict(one) for one in findings]}
    return orjson.dumps(report, option=orjson.OPT_INDENT_2)
