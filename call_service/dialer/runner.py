"""One call, from the claim to its completion."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import structlog

from call_service.batches.pre_dial import PreDial
from call_service.calls.commands import Command
from call_service.calls.costs import vendor_lines
from call_service.calls.domain import (
    CANCELED_BY_API,
    ENGINE_MISSING,
    OUTCOME_UNKNOWN,
    PROVIDER_KEY_MISSING,
    PROVIDER_KEYS_UNKNOWN,
    WORKER_LOST,
    Call,
    CallTurn,
    Outcome,
    Status,
    outcome_of,
)
from call_service.calls.events import DegradedCall, DetectedCall, ToolUsed
from call_service.calls.wrap_up import WrapUp
from call_service.capacity.domain import TOLERANCE, Limits
from call_service.carriers.port import (
    Answered,
    Carrier,
    CarrierRejectedError,
    Cause,
    DialRequest,
    Ended,
    Leg,
    LegEvent,
    OutcomeUnknownError,
    Ringing,
)
from call_service.carriers.routing import SIP
from call_service.dialer.control import CallControl, Line
from call_service.dialer.journal import FenceLostError, Journal
from call_service.dialer.options import profile_of, session_options
from call_service.dialer.second_leg import Voice
from call_service.dialer.turn_times import TurnTimes
from call_service.projects import ProjectServiceUnavailableError
from call_service.recordings import RecordingStore
from call_service.signalling.ladder import Ladder, LadderEntry
from call_service.tools.toolbox import Used as UsedTool
from call_service.vendors.equipment import Equipment, Vendors, count_switch, equipped
from call_service.vendors.models import EngineMissingError, KeyMissingError
from call_service.vendors.usage import Used
from call_service.voice.detection import Verdict
from call_service.voice.engines.bundle import Engines
from call_service.voice.fallback import Switch
from call_service.voice.options import TurnTimings
from call_service.voice.ports import Brain, Role, Transfer, Turn
from call_service.voice.recorder import Recorder
from call_service.voice.session import VoiceSession
from shared.background import running

log = structlog.get_logger(__name__)

PLACE_TIMEOUT_SECONDS = 15
# A carrier that neither answers nor ends the attempt is given up this long after its own ring time-out.
RING_GRACE_SECONDS = 15
GOODBYE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Tools:
    """What a worker needs to run calls."""

    carrier: Carrier
    engines: Engines
    brain: Brain
    recordings: RecordingStore
    wrap_up: WrapUp
    lease: timedelta
    ring_timeout: timedelta
    price_per_minute: Decimal
    currency: str
    vendors: Vendors
    pre_dial: PreDial
    limits: Limits


class CallRunner:
    """Dials a claimed call, holds the conversation, writes what happened. `run` never raises.

    It dials `starts_in` seconds from now, as was promised to its tenant and its trunk.
    """

    def __init__(self, call: Call, tools: Tools, starts_in: float = 0) -> None:
        self._start_at = asyncio.get_running_loop().time() + starts_in
        self._tools = tools
        self._journal = Journal(tools.wrap_up.db, call, tools.wrap_up.public_url)
        self._events: asyncio.Queue[LegEvent | None] = asyncio.Queue()  # None: look whether it is canceled
        self._is_canceled = False
        self._session: VoiceSession | None = None
        self._control: CallControl | None = None
        self._equipment: Equipment
        self._used: Mapping[Used, float] = {}
        self._times: TurnTimes
        self._data: dict[str, str] = {}
        self._ladder = Ladder()

    def lose(self) -> None:
        """The lease is gone: hang up and write nothing more."""
        self._journal.lost.set()

    def request_end(self, reason: str = "agent_hung_up") -> None:
        """Say goodbye and hang up; without `reason`, because this process has to stop."""
        if self._session:
            self._session.request_end(reason)

    def obey(self, command: Command) -> None:
        """Do what the API asks for, once, however often it is told; what comes too early or too late is left alone."""
        if command.kind == "end":
            self.request_end("caller_api_ended")
        elif command.kind != "cancel":
            if self._control:
                self._control.submit(command)
        elif not self._session:
            self._is_canceled = True
            self._events.put_nowait(None)

    async def run(self) -> None:
        structlog.contextvars.bind_contextvars(call_id=self._journal.call.id, tenant=self._journal.call.tenant)
        async with running(self._journal.run(), "journal"):
            try:
                outcome = await self._ask_first() or await self._equip_and_dial()
                ended = await self._end(outcome)
                if ended:
                    await self._tools.wrap_up.complete(self._journal.call, await self._sip_messages())
            except FenceLostError:
                log.warning("call lost")
            except Exception:
                log.exception("call failed")

    async def _end(self, outcome: Outcome) -> bool:
        log.info("call ended", status=outcome.status.value, reason=outcome.reason)
        tools = self._tools
        vendors = vendor_lines(self._used, tools.wrap_up.prices)
        return await self._journal.end(outcome, self._data, tools.price_per_minute, tools.currency, vendors)

    async def _sip_messages(self) -> list[LadderEntry]:
        """Of the whole call: the answer to our BYE, which is still on its way, belongs to it."""
        if self._ladder.entries:
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self._ladder.is_closed.wait()
        return self._ladder.entries

    async def _ask_first(self) -> Outcome | None:
        """How the call ends because the customer's server did not agree to it."""
        consent = await self._tools.pre_dial.ask(self._journal.call)
        if consent.agent and consent.variables:
            await self._journal.personalise(consent.agent, consent.variables)
        return consent.refusal

    async def _equip_and_dial(self) -> Outcome:
        """Nobody is dialled who could not be talked to."""
        tools = self._tools
        try:
            async with equipped(self._journal.call, tools.engines, tools.brain, tools.vendors) as self._equipment:
                self._used = self._equipment.usage
                return await self._dial()
        except EngineMissingError as error:
            log.error("local engine missing", provider=error.provider)  # noqa: TRY400 # the trace says nothing
            return ENGINE_MISSING
        except KeyMissingError as error:
            log.info("key missing", provider=error.provider)
            return PROVIDER_KEY_MISSING
        except ProjectServiceUnavailableError:
            return PROVIDER_KEYS_UNKNOWN

    async def _dial(self) -> Outcome:
        """Intent first: it is committed before the carrier hears of the call, so that nobody dials it a second time."""
        await self._turn()
        started = asyncio.get_running_loop().time()
        lease = self._tools.lease
        refused = await self._journal.intend(SIP if self._journal.call.trunk_id else self._tools.carrier.name, lease)
        if refused is not None:
            return refused
        if self._is_canceled:
            return CANCELED_BY_API
        if asyncio.get_running_loop().time() - started > lease.total_seconds():
            return WORKER_LOST  # after such a stall the sweeper may have ended the call: dial nobody
        request = self._request()
        try:
            async with asyncio.timeout(PLACE_TIMEOUT_SECONDS):
                leg = await self._tools.carrier.place(request)
        except CarrierRejectedError as error:
            log.info("carrier rejected the call", reason=error.reason, detail=str(error))
            return outcome_of(error.reason, error.sip_code)
        except (OutcomeUnknownError, TimeoutError):
            return await self._reconcile()
        return await self._hold(leg)

    async def _turn(self) -> None:
        """Wait for the promised start, no longer once the call is lost, also by a cancellation.

        Who was held up until after it gets another: it may be somebody else's turn. At a slow pace that is far away,
        but a call given back to the queue would be held up again.
        """
        now = asyncio.get_running_loop().time
        if now() - self._start_at > TOLERANCE.total_seconds():
            delay = await self._journal.next_start(self._tools.limits)
            self._start_at = now() + delay.total_seconds()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._start_at):
                await self._journal.lost.wait()

    async def _hold(self, leg: Leg) -> Outcome:
        try:
            async with running(self._hang_up_when_lost(leg), "fence watch"):
                return await self._follow(leg)
        finally:
            await leg.hang_up()

    def _request(self) -> DialRequest:
        call = self._journal.call
        ours = call.from_number if call.direction == "outbound" else call.to_number
        return DialRequest(call.id, call.other_party, ours, self._tools.ring_timeout, self._ladder, call.trunk_id)

    async def _reconcile(self) -> Outcome:
        """Ask the carrier whether it dialled. It is never dialled again, whatever the answer."""
        was_dialled = await self._tools.carrier.find(self._journal.call.id)
        if was_dialled is False:
            return Outcome(Status.FAILED, "carrier_unreachable", "carrier")
        return OUTCOME_UNKNOWN

    async def _follow(self, leg: Leg) -> Outcome:
        leg.on_event(self._on_event)
        limit = self._tools.ring_timeout.total_seconds() + RING_GRACE_SECONDS
        try:
            async with asyncio.timeout(limit):
                ended = await self._until_answer()
        except TimeoutError:
            return Outcome(Status.NO_ANSWER, "no_answer", "callee")
        if ended is not None:
            return ended
        return await self._converse(leg)

    def _on_event(self, event: LegEvent) -> None:
        if self._session:
            self._session.on_leg_event(event)
        else:
            self._events.put_nowait(event)

    async def _until_answer(self) -> Outcome | None:
        while True:
            match await self._events.get():
                case Ringing():
                    self._journal.advance(Status.RINGING)
                case Answered():
                    self._journal.advance(Status.IN_PROGRESS)
                    return None
                case Ended(cause, sip_code):
                    return outcome_of(cause, sip_code)
                case None:
                    return CANCELED_BY_API
                case _:
                    pass

    async def _converse(self, leg: Leg) -> Outcome:
        agent = self._journal.call.agent
        tools = self._tools
        recorder = Recorder(tools.recordings.path_for(self._journal.call.id)) if agent["recordingEnabled"] else None
        options = session_options(self._journal.call)
        engines = self._equipment.engines(tools.engines, self._switched)
        profile = profile_of(self._journal.call)
        conversation = self._equipment.conversation(profile, options.phrases.repeat, self._switched)
        self._times = TurnTimes(tools.carrier.name, self._equipment.usage)
        session = self._session = self._equipment.session(self._switched)(
            leg, engines, conversation, options, self, recorder=recorder, on_transfer=self._connect
        )
        self._equipment.tools.on_use = self._tool_used
        while not self._events.empty():
            if (event := self._events.get_nowait()) is not None:
                session.on_leg_event(event)
        voice = Voice(engines.synthesizer, agent["voice_id"])
        line = Line(leg, tools.carrier, self._request(), voice, options.phrases.not_connected, tools.limits)
        control = self._control = CallControl(line, session, self._journal)
        try:
            async with running(control.run(), "call control"):
                result = await session.run()
            if result.reason == Cause.TRANSFERRED:
                control.left()
        finally:
            if recorder:
                await recorder.finish()
        return Outcome(Status(result.status), result.reason, result.fault)

    async def _hang_up_when_lost(self, leg: Leg) -> None:
        await self._journal.lost.wait()
        await leg.hang_up()

    def _switched(self, switch: Switch) -> None:
        count_switch(switch)
        at_ms = self._session.now_ms() if self._session else 0
        self._journal.happened(
            DegradedCall(
                call_id=self._journal.call.id,
                stage=switch.stage,
                engine=switch.engine,
                successor=switch.successor,
                why=switch.why,
                at_ms=at_ms,
            )
        )

    def _connect(self, wanted: Transfer) -> None:
        if self._control:
            self._control.connect(wanted)

    def _tool_used(self, used: UsedTool) -> None:
        at_ms = self._session.now_ms() if self._session else 0
        call_id, is_ok = self._journal.call.id, used.error is None
        told = ToolUsed(call_id=call_id, name=used.name, ok=is_ok, error=used.error, ms=used.ms, at_ms=at_ms)
        self._journal.happened(told)

    # ---- what the session reports ------------------------------------------------------------------------------

    def on_turn(self, turn: Turn, timings: TurnTimings) -> None:
        said = CallTurn(turn.role, turn.text, turn.start_ms, turn.end_ms, turn.interrupted)
        self._journal.turn(said, self._times.of(timings))

    def on_speech_started(self, role: Role) -> None:
        """Nothing is written before the turn is final."""

    def on_collected(self, field: str, value: str) -> None:
        self._data[field] = value

    def on_detected(self, verdict: Verdict, at_ms: int) -> None:
        call_id = self._journal.call.id
        known = DetectedCall(
            call_id=call_id,
            answered_by=verdict.kind,
            confidence=verdict.confidence,
            by=verdict.by,
            at_ms=at_ms,
        )
        self._journal.detected(known)
