"""Plays one scenario: a real voice session, real engines and audio, and a simulated callee."""

import asyncio
from contextlib import suppress

import structlog

from call_service.calls.domain import outcome_of
from call_service.carriers.port import Answered, Ended, LegEvent
from call_service.carriers.simulated import SimulatedLeg
from call_service.dialer.options import profile_of, session_options
from call_service.projects import ProjectServiceUnavailableError
from call_service.scenarios.judging import TIMED_OUT, Observation, Said, judge
from call_service.scenarios.report import ScenarioReport
from call_service.scenarios.scenario import Scenario
from call_service.scenarios.stage import Cast, Stage, imagined_call
from call_service.tools.toolbox import Used
from call_service.vendors.equipment import Equipment, equipped
from call_service.vendors.models import EngineMissingError, KeyMissingError
from call_service.voice.detection import Verdict
from call_service.voice.fallback import Switch
from call_service.voice.options import SessionResult, TurnTimings
from call_service.voice.ports import AnsweredBy, EngineError, Role, Transfer, Turn
from call_service.voice.session import VoiceSession

log = structlog.get_logger(__name__)

SET_UP_SECONDS = 60.0


async def play(scenario: Scenario, cast: Cast, stage: Stage) -> ScenarioReport:
    """One call from the ringing to its end, judged. Engines that fail are a failed scenario, not an error."""
    return judge(scenario, await _Rehearsal(scenario, cast, stage).run())


class _Rehearsal:
    """Hears of the session what a report needs; runs once."""

    def __init__(self, scenario: Scenario, cast: Cast, stage: Stage) -> None:
        self._scenario = scenario
        self._stage = stage
        self._call = imagined_call(scenario, cast)
        self._events: asyncio.Queue[LegEvent] = asyncio.Queue()
        self._session: VoiceSession | None = None
        self._leg: SimulatedLeg | None = None
        self._turns: list[tuple[Turn, TurnTimings]] = []
        self._data: dict[str, str] = {}
        self._tools: list[str] = []
        self._transferred_to: str | None = None
        self._answered_by: AnsweredBy | None = None

    async def run(self) -> Observation:
        stage = self._stage
        try:
            async with equipped(self._call, stage.engines, stage.brain, stage.vendors) as equipment:
                return await self._run(equipment)
        except EngineError as error:
            return self._seen("failed", f"{error.stage}_failed")
        except TimeoutError:
            return self._seen("failed", "tts_failed")
        except EngineMissingError:
            return self._seen("failed", "engine_missing")
        except KeyMissingError:
            return self._seen("failed", "provider_key_missing")
        except ProjectServiceUnavailableError:
            return self._seen("failed", "provider_keys_unknown")

    async def _run(self, equipment: Equipment) -> Observation:
        async with asyncio.timeout(SET_UP_SECONDS):
            leg = self._leg = await self._stage.dial(self._scenario)
        leg.on_event(self._on_event)
        try:
            if (ended := await self._until_answer()) is not None:
                outcome = outcome_of(ended.cause, ended.sip_code)
                return self._seen(outcome.status.value, outcome.reason)
            result = await self._converse(leg, equipment)
        finally:
            await leg.hang_up()
        if result is None:
            return self._seen("failed", TIMED_OUT)
        return self._seen(result.status, result.reason)

    async def _until_answer(self) -> Ended | None:
        """The carrier ends what is not answered."""
        while True:
            match await self._events.get():
                case Answered():
                    return None
                case Ended() as ended:
                    return ended
                case _:
                    pass

    async def _converse(self, leg: SimulatedLeg, equipment: Equipment) -> SessionResult | None:
        options, profile = session_options(self._call), profile_of(self._call)
        engines = equipment.engines(self._stage.engines, self._switched)
        conversation = equipment.conversation(profile, options.phrases.repeat, self._switched)
        session = self._session = equipment.session(self._switched)(
            leg, engines, conversation, options, self, on_transfer=self._transfer
        )
        equipment.tools.on_use = self._tool_used
        while not self._events.empty():
            session.on_leg_event(self._events.get_nowait())
        with suppress(TimeoutError):
            async with asyncio.timeout(self._scenario.max_seconds):
                return await session.run()
        return None

    def _on_event(self, event: LegEvent) -> None:
        if self._session:
            self._session.on_leg_event(event)
        else:
            self._events.put_nowait(event)

    def _transfer(self, wanted: Transfer) -> None:
        """Nobody is called: the callee is gone, as it would be once the other party had answered."""
        self._transferred_to = wanted.to
        if self._session:
            self._session.leave()

    def _tool_used(self, used: Used) -> None:
        if used.error is None:
            self._tools.append(used.name)

    @staticmethod
    def _switched(switch: Switch) -> None:
        log.warning("engine switched", stage=switch.stage, engine=switch.engine, why=switch.why)

    def _seen(self, status: str, reason: str) -> Observation:
        leg = self._leg
        return Observation(
            status=status,
            reason=reason,
            turns=tuple(turn for turn, _ in self._turns),
            timings=tuple(timings for _, timings in self._turns),
            data=self._data,
            tools=tuple(self._tools),
            transferred_to=self._transferred_to,
            said=tuple(Said(*line) for line in leg.said) if leg else (),
            pressed=leg.pressed if leg else "",
            answered_by=self._answered_by,
            end_ms=self._session.now_ms() if self._session else 0,
        )

    # ---- what the session reports ------------------------------------------------------------------------------

    def on_turn(self, turn: Turn, timings: TurnTimings) -> None:
        self._turns.append((turn, timings))

    def on_speech_started(self, role: Role) -> None:
        """Turns tell when they began."""

    def on_collected(self, field: str, value: str) -> None:
        self._data[field] = value

    def on_detected(self, verdict: Verdict, at_ms: int) -> None:  # noqa: ARG002 # the port has it
        self._answered_by = verdict.kind
