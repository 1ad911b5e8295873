"""An agent gets through a recorded menu by ear: real speech both ways, the built-in brain, a simulated callee."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from call_service.kept import Kept
from call_service.scenarios.rehearsal import play
from call_service.scenarios.scenario import Scenario
from call_service.scenarios.stage import Cast, open_stage
from call_service.tools.building import Tooling
from call_service.tools.embedding import HashedWords
from call_service.tools.library import Library
from call_service.vendors.equipment import Vendors
from call_service.vendors.models import Sessions
from call_service.voice.brain import BuiltinBrain
from call_service.voice.engines.bundle import Engines, load_engines
from shared.http_client import GuardedClient
from shared.ids import new_id
from tests.support.calls import agent
from tests.support.workers import no_keys

MENU = (
    "Thank you for calling Paper Limited. For sales, press one. For billing, press two. For the operator, press zero."
)
SCENARIO = {
    "name": "reaches sales",
    "callee": {
        "description": "A menu, a queue, then Bob.",
        "turns": [
            {"after_ms": 300, "say": MENU},
            {"after_ms": 3_000, "say": "Please hold the line, we are connecting you."},
            {"after_ms": 9_000, "say": "Hello, this is Bob from sales, how can I help you?"},
            {
                "wait_for": "paper",
                "say": "Sure, we will do that. Thank you, goodbye.",
                "silence_ms": 1_500,
                "hang_up": True,
            },
        ],
    },
    "expect": {
        "pressed": "1",
        "tools": ["send_dtmf", "wait"],
        "says": ["ten boxes of paper"],
        "never_says": ["are you still there"],
        "hears": ["Bob from sales"],
        "status": "completed",
    },
    "max_seconds": 90,
}
CALLER = agent(
    name="Tom",
    systemInstruction="You are Tom of Acme. You are calling Paper Limited to order ten boxes of paper.",
    firstMessage=None,
    tools=[{"type": "sendDtmf", "goal": "reach the sales department", "description": None}],
)


class Nothing:
    """Projects without documents."""

    async def passages(self, tenant: str, agent_id: str, known: str | None) -> Mapping[str, Any]:
        return {"revision": "", "passages": []}


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    loaded = asyncio.run(load_engines())
    yield loaded
    loaded.close()


async def test_the_agent_presses_the_key_waits_for_a_person_and_says_why_it_calls(engines: Engines) -> None:
    sessions, nothing, brain = Sessions(allow_private=True), Nothing(), BuiltinBrain()
    async with GuardedClient() as client:
        tooling = Tooling(client, Kept(no_keys), Library(nothing, HashedWords()))
        vendors = Vendors(Kept(no_keys), sessions, {}, tooling=tooling)
        async with open_stage(engines, brain, vendors) as stage:
            scenario = Scenario.model_validate(SCENARIO)
            report = await play(scenario, Cast(new_id(), new_id(), CALLER), stage)
    await sessions.close()
    assert report.ok, report
