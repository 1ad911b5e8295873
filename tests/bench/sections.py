"""What a benchmark hands back: a table of figures with their bars, printed for people or kept as JSON."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

import psutil
from rich.table import Table

Cell = str | int | float | None


def load_average() -> float:
    """Of the last minute: processes that wanted a core, ours and everybody else's."""
    return os.getloadavg()[0]


@dataclass(frozen=True)
class Section:
    """One table. `load_before` is the load average when its measurement began."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    load_before: float
    notes: Sequence[str] = field(default=())

    def table(self) -> Table:
        """As rich draws it."""
        title = f"{self.title}\n[dim]load average before: {self.load_before:.1f}"
        table = Table(title=title, caption="\n".join(self.notes) or None, title_justify="left", caption_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*map(shown, row))
        return table


def shown(cell: Cell) -> str:
    """Three figures that count; nothing for None."""
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"
    return "" if cell is None else str(cell)


def at_most(value: float | None, limit: float) -> str:
    """The bar, and whether the figure clears it."""
    return _judged(value is not None and value <= limit, f"≤ {limit:g}")


def at_least(value: float | None, limit: float) -> str:
    """The bar, and whether the figure clears it."""
    return _judged(value is not None and value >= limit, f"≥ {limit:g}")


def _judged(is_met: bool, bar: str) -> str:
    return f"{bar} {'✓' if is_met else '✗'}"


def percentile(values: Sequence[float], percent: int) -> float | None:
    """By nearest rank; None of nothing."""
    return sorted(values)[ceil(len(values) * percent / 100) - 1] if values else None


def machine() -> dict[str, Cell]:
    """What the figures were measured on."""
    return {
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average": load_average(),
    }
