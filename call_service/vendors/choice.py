"""Which vendors an agent asks for, as its settings have them when a call is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.providers import Stage


@dataclass(frozen=True, slots=True)
class Choice:
    """One vendor. `voice` is there for synthesis only; without a `model` the vendor's default is meant."""

    provider: str
    model: str | None
    voice: str
    options: Mapping[str, Any]


def choices_of(agent: Mapping[str, Any], stage: Stage) -> tuple[Choice, ...]:
    """The vendor of a stage and what takes over from it, in order; nothing where the local engine was chosen."""
    chosen = (agent.get("providers") or {}).get(stage)
    if not chosen:
        return ()
    return tuple(
        Choice(one["provider"], one.get("model"), one.get("voice") or "", one.get("options") or {})
        for one in (chosen, *chosen.get("fallbacks", ()))
    )
