"""The conversation of one call: who speaks when, from the answer to the end of the leg.

Frames drive everything that is timed in speech (50 times a second, synchronous, no task of their own). One
conductor coroutine takes what frames, keys and the API asked for, one at a time, and lets the agent speak. An
interruption does not wait for it: audio stops within the frame that decided it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from call_service.carriers.port import FRAME_MS, Cause, DtmfReceived, Ended, Leg, LegEvent, MachineDetected
from call_service.voice.amd import BeepDetector, sounds_like_voicemail
from call_service.voice.dtmf import KeyCollector
from call_service.voice.endpointing import TurnEvent
from call_service.voice.engines.bundle import Engines
from call_service.voice.listening import Ear, Utterance
from call_service.voice.options import Outcome, SessionListener, SessionOptions, SessionResult, TurnTimings
from call_service.voice.ports import BrainOutput, Conversation, EngineError, Say, Turn
from call_service.voice.recorder import Recorder
from call_service.voice.speaking import AgentTurn, Voice
from call_service.voice.turns import TurnLog

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

VOICEMAIL = Outcome("voicemail", "voicemail_detected")
BROKEN = Outcome("failed", "internal_error", "platform")
MACHINE_GREETS_WITHIN_MS = 45_000
GREETING_OVER_MS = 3_000
BEEP_WAIT = timedelta(seconds=30)
MAX_REQUESTS = 64
STOP_TIMEOUT = timedelta(seconds=5)
# Frames tell the time of a call; this ends one whose carrier stopped delivering them.
STALLED_AFTER = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class _Keys:
    text: str


@dataclass(frozen=True, slots=True)
class _Quiet:
    """Nobody has spoken for the silence time-out."""


@dataclass(frozen=True, slots=True)
class _Close:
    """End the call: `phrase` is said first, by a machine's beep if it is a message."""

    outcome: Outcome
    phrase: str | None
    after_beep: bool = False


_Request = Utterance | _Keys | _Quiet | _Close


async def _only(text: str) -> AsyncIterator[BrainOutput]:
    yield Say(text)


class VoiceSession:
    """Runs once. `on_leg_event` and `request_end` are for the worker that owns the leg."""

    def __init__(
        self,
        leg: Leg,
        engines: Engines,
        conversation: Conversation,
        options: SessionOptions,
        listener: SessionListener,
        *,
        recorder: Recorder | None = None,
    ) -> None:
        self._leg = leg
        self._conversation = conversation
        self._options = options
        self._listener = listener
        self._recorder = recorder
        self._loop = asyncio.get_running_loop()
        self._answered_at = self._loop.time()
        self._ear = Ear(engines.recognizer, engines.voice_activity(), options.endpointing, self.now_ms)
        self._voice = Voice(leg, engines.synthesizer, options, self.now_ms)
        self._keys = KeyCollector(options.dtmf_pause)
        self._beeps = BeepDetector()
        self._log = TurnLog()
        self._data: dict[str, str] = {}
        self._requests: asyncio.Queue[_Request] = asyncio.Queue(MAX_REQUESTS)
        self._asides: set[asyncio.Task[None]] = set()
        self._turn: AgentTurn | None = None
        self._ear.expect("yes_no")  # "Hello?" is short
        self._barge_in_ms = options.opening_barge_in_ms
        self._may_open = asyncio.Event()
        self._may_leave_message = asyncio.Event()
        self._is_idle = False
        self._is_closing = False
        self._verdict: Outcome | None = None
        self._quiet_ms = 0
        self._silences = 0
        self._misheard = 0
        self._leg_end: asyncio.Future[Ended] = self._loop.create_future()

    def now_ms(self) -> int:
        """Milliseconds since the answer."""
        return round((self._loop.time() - self._answered_at) * 1000)

    async def run(self) -> SessionResult:
        """Hold the conversation until the leg ended; hangs up if it did not."""
        self._answered_at = self._loop.time()
        self._leg.on_audio(self._received)
        self._leg.on_played_frame(self._played)
        conductor = asyncio.create_task(self._conduct())
        either: set[asyncio.Future[Any]] = {conductor, self._leg_end}
        limit = self._options.max_duration + STALLED_AFTER
        try:
            await asyncio.wait(either, timeout=limit.total_seconds(), return_when=asyncio.FIRST_COMPLETED)
            decided = conductor.done() and not self._leg_end.done()
            outcome = conductor.result() if decided else self._outcome_of_leg()
        finally:
            await self._stop(conductor)
        return SessionResult(
            outcome.status, outcome.reason, outcome.fault, self._log.turns, dict(self._data), self._log.timings
        )

    def on_leg_event(self, event: LegEvent) -> None:
        """What the carrier reports."""
        match event:
            case DtmfReceived(digit):
                self._press(digit)
            case MachineDetected(beep):
                self._found_machine(beep=beep)
            case Ended() if not self._leg_end.done():
                self._interrupt()
                self._leg_end.set_result(event)
            case _:
                pass

    def request_end(self, reason: str) -> None:
        """Say goodbye and hang up; the call ends `completed` with this reason."""
        self._close(_Close(Outcome("completed", reason), self._options.phrases.goodbye))

    # ---- frames ------------------------------------------------------------------------------------------------

    def _received(self, frame: bytes) -> None:
        if self._leg_end.done():
            return
        try:
            self._hear(frame)
        except Exception:
            log.exception("session_failed")
            self._verdict = BROKEN
            self.on_leg_event(Ended(Cause.LOCAL_HANG_UP))

    def _hear(self, frame: bytes) -> None:
        if self._recorder:
            self._recorder.callee(frame)
        match self._ear.hear(frame):
            case Utterance() as utterance:
                self._heard(utterance)
            case TurnEvent.STARTED:
                self._tell(lambda: self._listener.on_speech_started("user"))
            case _:
                pass
        self._listen_for_beep(frame)
        self._barge_in()
        self._open_when_greeted()
        self._count_quiet()
        if (keys := self._keys.tick()) is not None:
            self._request(_Keys(keys))
        if self.now_ms() >= self._options.max_duration.total_seconds() * 1000:
            self._close(_Close(Outcome("completed", "max_duration"), self._options.phrases.time_is_up))

    def _played(self, frame: bytes) -> None:
        if self._recorder:
            self._recorder.agent(frame)
        if self._turn:
            self._turn.frame_played()

    def _heard(self, utterance: Utterance) -> None:
        self._may_open.set()
        is_aside = self._turn and not self._turn.is_interrupted
        if is_aside or self._is_closing:
            aside = asyncio.create_task(self._note(utterance))
            self._asides.add(aside)
            aside.add_done_callback(self._asides.discard)
        else:
            self._request(utterance)

    def _barge_in(self) -> None:
        turn = self._turn
        if turn and turn.may_interrupt and self._ear.voiced_ms >= self._barge_in_ms:
            self._interrupt()
            turn.timings.barge_in_ms = self.now_ms() - self._ear.start_ms

    def _open_when_greeted(self) -> None:
        if self.now_ms() >= self._options.hello_wait.total_seconds() * 1000 and not self._ear.is_hearing:
            self._may_open.set()

    def _count_quiet(self) -> None:
        if not self._is_idle or self._ear.is_hearing or self._keys.pending:
            self._quiet_ms = 0
            return
        self._quiet_ms += FRAME_MS
        if self._quiet_ms >= self._options.silence_timeout.total_seconds() * 1000:
            self._quiet_ms = 0
            self._request(_Quiet())

    def _listen_for_beep(self, frame: bytes) -> None:
        if self._verdict:
            if self._beeps.feed(frame) or self._ear.silence_ms >= GREETING_OVER_MS:
                self._may_leave_message.set()
        elif self.now_ms() < MACHINE_GREETS_WITHIN_MS and self._beeps.feed(frame):
            self._found_machine(beep=True)

    # ---- what happens at once ----------------------------------------------------------------------------------

    def _press(self, digit: str) -> None:
        if self._turn and self._turn.may_interrupt:
            self._interrupt()
        if (keys := self._keys.press(digit)) is not None:
            self._request(_Keys(keys))

    def _found_machine(self, *, beep: bool) -> None:
        if beep:
            self._may_leave_message.set()
        if not self._verdict:
            self._verdict = VOICEMAIL
            self._close(_Close(VOICEMAIL, self._options.voicemail_message, after_beep=True))

    def _interrupt(self) -> None:
        if self._turn:
            self._turn.interrupt()

    def _request(self, request: _Request) -> None:
        if not self._is_closing and not self._requests.full():
            self._is_idle = False
            self._requests.put_nowait(request)

    def _close(self, request: _Close) -> None:
        """The last request: nothing that waits is done before it, nothing comes after it."""
        if self._is_closing or (self._turn and self._turn.ends_call):
            return
        while not self._requests.empty():
            self._requests.get_nowait()
        self._request(request)
        self._is_closing = True
        self._interrupt()

    def _tell(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception:
            log.exception("session_listener_failed")

    # ---- the conductor -----------------------------------------------------------------------------------------

    async def _conduct(self) -> Outcome:
        try:
            return await self._converse()
        except EngineError as error:
            log.warning("engine_failed", stage=error.stage, error=str(error))
            self._verdict = Outcome("failed", f"{error.stage}_failed", "provider")
            with suppress(EngineError):
                await self._say_last(self._options.phrases.apology)
        except Exception:
            log.exception("session_failed")
            self._verdict = BROKEN
        return self._verdict

    async def _converse(self) -> Outcome:
        turn = await self._speak(self._conversation.opening(), may_start=self._may_open)
        self._barge_in_ms = self._options.barge_in_ms
        while not turn.ends_call:
            self._is_idle = self._requests.empty()
            request = await self._requests.get()
            self._is_idle = False
            match request:
                case Utterance():
                    turn = await self._answer(request) or turn
                case _Keys(text):
                    now = self.now_ms()
                    turn = await self._reply(Turn("user", text, now, now), TurnTimings())
                case _Quiet():
                    self._silences += 1
                    turn = await self._speak(self._conversation.silence(self._silences))
                    if turn.ends_call:
                        return Outcome("silence", "silence_timeout", "callee")
                case _Close():
                    return await self._end(request)
        return self._verdict or Outcome("completed", "agent_hung_up")

    async def _answer(self, utterance: Utterance) -> AgentTurn | None:
        text, timings = await self._understand(utterance)
        if text:
            return await self._reply(Turn("user", text, utterance.start_ms, utterance.end_ms), timings)
        if text is None or self._log.was_cut:
            return await self._speak(_only(self._options.phrases.repeat))
        return None

    async def _reply(self, said: Turn, timings: TurnTimings) -> AgentTurn:
        self._record(said, timings)
        heard, history = self._log.ask(said)
        reply = await self._speak(self._conversation.reply(heard, history), answers_ms=said.end_ms)
        if reply.spoken() or not reply.is_interrupted:
            self._log.answered()
        return reply

    async def _end(self, request: _Close) -> Outcome:
        if request.phrase and request.after_beep:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEEP_WAIT.total_seconds()):
                    await self._may_leave_message.wait()
        if request.phrase:
            await self._say_last(request.phrase)
        return request.outcome

    async def _speak(
        self,
        outputs: AsyncIterator[BrainOutput],
        *,
        may_start: asyncio.Event | None = None,
        answers_ms: int | None = None,
        is_last: bool = False,
    ) -> AgentTurn:
        turn = AgentTurn(self._voice, self, may_start=may_start, answers_ms=answers_ms, is_protected=is_last)
        if self._is_closing and not is_last:
            return turn
        self._turn = turn
        try:
            await turn.run(outputs)
        finally:
            self._turn = None
            self._ear.expect(turn.expects)
            if spoken := turn.spoken():
                self._record(spoken, turn.timings)
        return turn

    async def _say_last(self, text: str) -> None:
        self._is_closing = True
        await self._speak(_only(text), is_last=True)

    # ---- what was said -----------------------------------------------------------------------------------------

    def collected(self, field: str, value: str) -> None:
        """The brain got a value from the callee."""
        self._data[field] = value
        self._tell(lambda: self._listener.on_collected(field, value))

    def agent_started(self) -> None:
        """The first frame of an agent turn went out."""
        self._tell(lambda: self._listener.on_speech_started("agent"))

    async def _note(self, utterance: Utterance) -> None:
        """Words that neither waited for an answer nor interrupted: kept, not answered."""
        with suppress(EngineError):
            text, timings = await self._understand(utterance)
            if text:
                self._record(Turn("user", text, utterance.start_ms, utterance.end_ms), timings)

    async def _understand(self, utterance: Utterance) -> tuple[str | None, TurnTimings]:
        """The text; empty for noise, None when recognition failed once.

        Raises:
            EngineError: it failed twice in a row.
        """
        try:
            async with asyncio.timeout(self._options.engine_timeout.total_seconds()):
                text = await utterance.text
        except (EngineError, TimeoutError) as error:
            log.warning("recognition_failed", error=repr(error))
            self._misheard += 1
            if self._misheard > 1:
                raise EngineError("stt", "two recognitions in a row failed") from error
            return None, TurnTimings()
        self._misheard = 0
        decided_ms = utterance.decided_ms
        return text, TurnTimings(
            endpointing_ms=decided_ms - utterance.end_ms, recognition_ms=self.now_ms() - decided_ms
        )

    def _record(self, turn: Turn, timings: TurnTimings) -> None:
        self._log.add(turn, timings)
        self._tell(lambda: self._listener.on_turn(turn, timings))
        if turn.role == "user":
            self._silences = 0
            if turn.start_ms < MACHINE_GREETS_WITHIN_MS and sounds_like_voicemail(self._log.heard):
                self._found_machine(beep=False)

    # ---- the end -----------------------------------------------------------------------------------------------

    def _outcome_of_leg(self) -> Outcome:
        if self._verdict:
            return self._verdict
        cause = self._leg_end.result().cause if self._leg_end.done() else Cause.MEDIA_LOST
        if cause == Cause.MEDIA_LOST:
            return Outcome("failed", cause, "carrier")
        return Outcome("completed", cause)

    async def _stop(self, conductor: asyncio.Task[Outcome]) -> None:
        """Hang up and end every task. Nothing raised here may hide the result."""
        try:
            async with asyncio.timeout(STOP_TIMEOUT.total_seconds()):
                await self._leg.hang_up()
        except Exception:
            log.exception("hang_up_failed")
        tasks = {conductor, *self._asides}
        for task in tasks:
            task.cancel()
        self._ear.close()
        await asyncio.wait(tasks, timeout=STOP_TIMEOUT.total_seconds())
