"""A hop is something a call depends on; a finding is what a look at it told."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "broken", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look told, what to do about it, and how long it took."""

    hop: str
    state: State
    detail: str
    hint: str = ""
    ms: int = 0


class BrokenError(Exception):
    """The hop doesn't work. `hint` says what to do."""

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.hint = hint


class SkippedError(Exception):
    """Nothing can be said about the hop from here; the text says why."""


Look = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Hop:
    """`look` returns what it found in good order, or raises BrokenError or SkippedError.

    It isn't asked while a hop of `needs` is broken.
    """

    name: str
    look: Look
    limit_seconds: float = 10.0
    needs: tuple[str, ...] = ()


async def examine(hops: Iterable[Hop]) -> AsyncIterator[Finding]:
    """Look at hops one after the other; each finding as soon as there is one. Never raises for a hop."""
    broken: set[str] = set()
    for hop in hops:
        finding = _not_asked(hop, broken) or await look_at(hop)
        if finding.state == "broken":
            broken.add(hop.name)
        yield finding


def _not_asked(hop: Hop, broken: set[str]) -> Finding | None:
    missing = [name for name in hop.needs if name in broken]
    return Finding(hop.name, "skipped", f"needs {', '.join(missing)}") if missing else None


async def look_at(hop: Hop) -> Finding:
    """One look, within its limit."""
    began = time.monotonic()

    def found(state: State, detail: str, hint: str = "") -> Finding:
        return Finding(hop.name, state, detail, hint, round((time.monotonic() - began) * 1000))

    try:
        async with asyncio.timeout(hop.limit_seconds):
            return found("ok", await hop.look())
    except SkippedError as error:
        return found("skipped", str(error))
    except BrokenError as error:
        return found("broken", str(error), error.hint)
    except TimeoutError:
        return found("broken", f"no answer in {hop.limit_seconds:g} s")
    except Exception as error:  # noqa: BLE001 - whatever a hop fails with is the finding
        return found("broken", f"{type(error).__name__}: {error}")
