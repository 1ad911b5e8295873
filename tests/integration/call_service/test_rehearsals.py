"""One scenario in real time, with engines that cost nothing and a brain that does what the test says."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from call_service.kept import Kept
from call_service.scenarios.rehearsal import play
from call_service.scenarios.report import ScenarioReport
from call_service.scenarios.scenario import Scenario
from call_service.scenarios.stage import Cast, Stage, open_stage
from call_service.tools.toolbox import Toolbox, Used
from call_service.vendors.equipment import Vendors
from call_service.vendors.models import Sessions
from call_service.voice.engines.bundle import Engines, load_engines
from call_service.voice.ports import (
    AgentProfile,
    BrainOutput,
    Collected,
    EndCall,
    EngineError,
    Press,
    Say,
    Transfer,
    Turn,
)
from shared.ids import new_id
from tests.support.calls import agent
from tests.support.workers import no_keys

ANSWERS = {"description": "Says something once and listens.", "turns": [{"wait_for": "", "say": "Yes, please."}]}


@dataclass
class Script:
    """A brain that greets, then does `outputs`, whatever it is told; of its tools `look` works and `book` fails."""

    outputs: Sequence[BrainOutput]
    profile: AgentProfile | None = None
    tools: Toolbox | None = None

    def converse(self, profile: AgentProfile, tools: Toolbox | None = None) -> "Script":
        self.profile, self.tools = profile, tools
        return self

    async def opening(self) -> AsyncIterator[BrainOutput]:
        yield Say("Hello.")

    async def reply(self, heard: str, history: Sequence[Turn]) -> AsyncIterator[BrainOutput]:
        assert self.tools
        self.tools.on_use(Used("book", 5, "timeout"))
        self.tools.on_use(Used("look", 5, None))
        for output in self.outputs:
            yield output

    async def silence(self, count: int) -> AsyncIterator[BrainOutput]:
        yield Say("Still there?")

    async def close(self) -> None:
        """Nothing is open."""


class Mute:
    """A synthesizer that is broken."""

    async def synthesize(self, text: str, voice_id: str) -> bytes:
        raise EngineError("tts", f"no voice {voice_id} for {len(text)} characters")


@asynccontextmanager
async def stage(brain: Script, **engines: Any) -> AsyncIterator[Stage]:
    sessions = Sessions(allow_private=True)
    broken: Engines = replace(await load_engines("null"), **engines)
    async with open_stage(broken, brain, Vendors(Kept(no_keys), sessions, {})) as found:
        yield found
    await sessions.close()


async def report(brain: Script, expect: dict[str, Any], **changes: Any) -> ScenarioReport:
    values = {"name": "x", "callee": ANSWERS, "expect": expect, **changes}
    async with stage(brain) as found:
        return await play(Scenario.model_validate(values), Cast(new_id(), new_id(), agent()), found)


async def test_what_an_agent_does_beside_talking_is_seen() -> None:
    outputs = [Say("Done."), Collected("day", "Friday"), Press("12#"), Say("Goodbye."), EndCall()]
    brain = Script(outputs)
    found = await report(
        brain,
        {"says": ["done goodbye"], "data": {"day": "Friday"}, "tools": ["look"], "pressed": "12#", "max_turns": 2},
        variables={"customer": "Anna"},
    )
    assert found.ok, found.checks
    assert (found.reason, found.tools) == ("agent_hung_up", ["look"])
    assert brain.profile
    assert brain.profile.variables == {"customer": "Anna"}


async def test_a_tool_that_failed_was_not_used() -> None:
    found = await report(Script([Say("Sorry."), EndCall()]), {"tools": ["book"]})
    assert [(check.ok, check.found) for check in found.checks] == [(False, "look")]


async def test_a_transfer_ends_the_test_and_reaches_nobody() -> None:
    outputs = [Say("One moment."), Transfer("+12025550142")]
    found = await report(Script(outputs), {"transferred_to": "+12025550142", "reason": "transferred"})
    assert found.ok, found.checks


async def test_a_call_that_goes_on_is_ended_and_fails() -> None:
    patient = {"description": "Never leaves.", "turns": [{"silence_ms": 60000}], "patience_ms": None}
    found = await report(Script([]), {"says": ["hello"]}, callee=patient, max_seconds=5)
    assert (found.ok, found.status, found.reason) == (False, "failed", "scenario_timed_out")
    assert found.seconds >= 4.5


async def test_who_calls_the_agent_is_greeted_first() -> None:
    waits = {"description": "Waits to be greeted.", "turns": [{"wait_for": "", "hang_up": True}]}
    found = await report(Script([]), {"says": ["hello"], "reason": "callee_hung_up"}, callee=waits, direction="inbound")
    assert found.ok, found.checks
    assert found.transcript[0].start_ms < 1000, "who is called waits a second for the other to speak"
    assert found.answered_by is None


async def test_engines_that_fail_are_a_failed_scenario() -> None:
    values = {"name": "x", "callee": {"description": "x"}, "expect": {"says": ["hello"]}}
    async with stage(Script([]), synthesizer=Mute()) as found:
        seen = await play(Scenario.model_validate(values), Cast(new_id(), new_id(), agent()), found)
    assert (seen.ok, seen.status, seen.reason) == (False, "failed", "tts_failed")


async def test_a_vendor_without_a_key_is_a_failed_scenario() -> None:
    values = {"name": "x", "callee": {"description": "x"}, "expect": {"says": ["hello"]}}
    chosen = agent(providers={"stt": {"provider": "deepgram"}})
    async with stage(Script([])) as found:
        seen = await play(Scenario.model_validate(values), Cast(new_id(), new_id(), chosen), found)
    assert (seen.ok, seen.reason) == (False, "provider_key_missing")
