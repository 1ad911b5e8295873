"""What scenarios are played with, and by whom: the engines, the carrier, the agent."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

from call_service.calls.domain import Call, Status
from call_service.carriers.port import DialRequest
from call_service.carriers.scripts import compiled
from call_service.carriers.simulated import ScriptBook, SimulatedCarrier, SimulatedLeg
from call_service.carriers.simulated.speaker import Speaker
from call_service.carriers.ticker import Ticker
from call_service.scenarios.scenario import Scenario
from call_service.vendors.equipment import Vendors
from call_service.voice.engines.bundle import Engines
from call_service.voice.ports import Brain
from shared.clock import SystemClock
from shared.ids import new_id

CALLER, CALLEE = "+12025550198", "+12025550199"  # numbers that nobody has (North American fiction)
CALLEE_VOICE = "heart-brisk"
RINGS_AT_MOST = timedelta(seconds=45)
NOISE_SEED = 7


@dataclass(frozen=True, slots=True)
class Cast:
    """The agent that is tested, with the settings of its version as project_service has them, and whose it is."""

    tenant: str
    project_id: str
    agent: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where scenarios are played, many at a time. Nobody is dialled: the carrier is simulated."""

    engines: Engines
    brain: Brain
    vendors: Vendors
    carrier: SimulatedCarrier

    async def dial(self, scenario: Scenario) -> SimulatedLeg:
        """Call the callee of a scenario.

        Raises:
            EngineError: stage `tts`.
        """
        script = scenario.callee.on_line(scenario.line.noise_db, scenario.line.packet_loss_percent)
        for pattern in script.patterns():
            compiled(pattern)
            await asyncio.sleep(0)  # the frames of other calls go out between two of them
        # Its lines are made before it rings: under load they would come late, and pauses be longer than written.
        speaker = Speaker(self.engines.synthesizer, CALLEE_VOICE)
        for turn in script.turns:
            await speaker.speak(turn.say)
        return self.carrier.connect(script, DialRequest(new_id(), CALLEE, CALLER, RINGS_AT_MOST))


@asynccontextmanager
async def open_stage(engines: Engines, brain: Brain, vendors: Vendors) -> AsyncIterator[Stage]:
    """The stage; calls that go on are ended with the block."""
    carrier = SimulatedCarrier(
        ticker=Ticker(),
        synthesizer=engines.synthesizer,
        recognizer=engines.recognizer,
        book=ScriptBook.load(),
        random=Random(NOISE_SEED),  # noqa: S311 - it shapes the noise on the line
        voice_id=CALLEE_VOICE,
    )
    try:
        yield Stage(engines, brain, vendors, carrier)
    finally:
        await carrier.close()


def imagined_call(scenario: Scenario, cast: Cast) -> Call:
    """The call of a scenario, as the machinery of calls wants it; no table has it."""
    is_outbound = scenario.direction == "outbound"
    return Call(
        id=new_id(),
        tenant=cast.tenant,
        project_id=cast.project_id,
        agent_id=cast.agent.get("id"),
        agent_version=cast.agent.get("version", 1),
        agent=dict(cast.agent),
        direction=scenario.direction,
        from_number=CALLER if is_outbound else CALLEE,
        to_number=CALLEE if is_outbound else CALLER,
        status=Status.IN_PROGRESS,
        reason=None,
        fault="none",
        sip_code=None,
        dynamic_variables=dict(scenario.variables),
        data={},
        analysis=None,
        recording=None,
        cost=Decimal(0),
        currency="USD",
        created_at=SystemClock().now(),
        answered_at=None,
        ended_at=None,
        completed_at=None,
        fence=0,
    )
