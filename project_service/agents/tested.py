"""What agents learn of their tests, which call_service plays."""

from project_service.agents import repository
from shared.bus import EventBus
from shared.db import Database, Tx
from shared.events import Event
from shared.inbox import Consumer

QUEUE = "project_service.agent_tests"
TESTED = "agent.tested"


async def _on_event(tx: Tx, event: Event) -> None:
    """A scenario counts as passed when it was on every line that it was played on."""
    passed: dict[str, bool] = {}
    for scenario in event.data["scenarios"]:
        passed[scenario["name"]] = scenario["passed"] and passed.get(scenario["name"], True)
    await repository.keep_results(
        tx, event.tenant, event.data["agentId"], event.data["version"], passed=passed, tested_at=event.time
    )


def new_consumer(db: Database, bus: EventBus) -> Consumer:
    """Remembers which versions have passed which scenarios."""
    return Consumer(db, bus, queue=QUEUE, bindings=[TESTED], handler=_on_event)
