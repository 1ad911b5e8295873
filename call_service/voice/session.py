"""The conversation of one call: who speaks when, from the answer to the end of the leg.

Frames drive everything that is timed in speech (50 times a second, synchronous, no task of their own). One
conductor coroutine takes what frames, keys and the API asked for, one at a time, and lets the agent speak. An
interruption does not wait for it: audio stops within the frame that decided it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog

from call_service.carriers.port import (
    FRAME_MS,
    SILENCE_FRAME,
    Cause,
    DtmfReceived,
    Ended,
    Leg,
    LegEvent,
    MachineDetected,
    TransferFailedError,
)
from call_service.voice.amd import BeepDetector
from call_service.voice.backchannels import is_backchannel
from call_service.voice.brain.sentences import split_sentences
from call_service.voice.bridge import bridge
from call_service.voice.detection import GREETS_WITHIN_MS, Detector, Verdict, asks_who_calls, sounds_like_menu
from call_service.voice.direct import DirectConversation
from call_service.voice.dtmf import KeyCollector
from call_service.voice.endpointing import TurnEvent
from call_service.voice.engines.bundle import Engines
from call_service.voice.listening import Ear, Utterance
from call_service.voice.options import Outcome, SessionListener, SessionOptions, SessionResult, TurnTimings
from call_service.voice.ports import BrainOutput, Conversation, EngineError, Say, Transfer, Turn
from call_service.voice.recorder import Recorder
from call_service.voice.requests import Announcement, Close, Keys, Menu, Quiet, Request
from call_service.voice.speaking import AgentTurn, Voice
from call_service.voice.stock import Stock
from call_service.voice.turns import TurnLog

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

TRANSFERRED = Outcome("completed", Cause.TRANSFERRED)
VOICEMAIL = Outcome("voicemail", "voicemail_detected")
BROKEN = Outcome("failed", "internal_error", "platform")
SCREENING = Outcome("completed", "screening_detected")
IVR = Outcome("completed", "ivr_detected")
SCREENING_PATIENCE = timedelta(seconds=60)
MENU_PATIENCE = timedelta(seconds=90)
GREETING_OVER_MS = 3_000
BEEP_WAIT = timedelta(seconds=30)
RESCUE_WAIT = timedelta(seconds=40)
MAX_REQUESTS = 64
STOP_TIMEOUT = timedelta(seconds=5)
# Frames tell the time of a call; this ends one whose carrier stopped delivering them.
STALLED_AFTER = timedelta(seconds=60)


async def _only(text: str) -> AsyncIterator[BrainOutput]:
    for sentence in split_sentences(text):
        yield Say(sentence)


def _ignore(_frame: bytes) -> None: ...


def _cannot_transfer(_wanted: Transfer) -> None:
    log.error("nobody transfers this call")


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
        on_transfer: Callable[[Transfer], None] = _cannot_transfer,
    ) -> None:
        """`on_transfer` hears what number the brain wants the callee to be connected with."""
        self._leg = leg
        self._conversation = conversation
        self._options = options
        self._listener = listener
        self._recorder = recorder
        self.transfer = on_transfer
        self._is_in_menu = False
        self._loop = asyncio.get_running_loop()
        self._answered_at = self._loop.time()
        self._ear = Ear(engines.recognizer, engines.voice_activity(), options.endpointing, self.now_ms)
        self._stream = engines.hear
        self._stock = Stock(engines.synthesizer, options.voice_id, options.phrases)
        self._voice = Voice(leg, self._stock, options, self.now_ms)
        self._keys = KeyCollector(options.dtmf_pause)
        self._beeps = BeepDetector()
        self._detector = Detector()
        self._introduced: asyncio.Future[bool] | None = None
        self._log = TurnLog()
        self._data: dict[str, str] = {}
        self._requests: asyncio.Queue[Request] = asyncio.Queue(MAX_REQUESTS)
        self._asides: set[asyncio.Task[None]] = set()
        self._turn: AgentTurn | None = None
        self._ear.expect("yes_no")  # "Hello?" is short
        self._barge_in_ms = options.opening_barge_in_ms
        self._may_open = asyncio.Event()
        self._may_leave_message = asyncio.Event()
        self._is_idle = False
        self._is_closing = False
        self._verdict: Outcome | None = None
        self._elsewhere: Callable[[bytes], None] | None = None  # who hears the callee while the agent does not
        self._is_here = asyncio.Event()
        self._is_here.set()
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
        self._beside(self._stock.prepare(self._options.hello_wait))
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
                self._detected(self._detector.machine("carrier"))
                self._found_machine(beep=beep)
            case Ended() if not self._leg_end.done():
                self._interrupt()
                self._leg_end.set_result(event)
            case _:
                pass

    def request_end(self, reason: str) -> None:
        """Say goodbye and hang up; the call ends `completed` with this reason."""
        self._close(Close(Outcome("completed", reason), self._options.phrases.goodbye))

    async def announce(self, text: str) -> bool:
        """Say something between two turns; whether the callee heard it to its end."""
        heard = self._loop.create_future()
        return self._request(Announcement(text, heard)) and await heard

    def interrupt(self) -> None:
        """Cut off what the agent says, unless it is the end of the call."""
        if self._turn and self._turn.may_interrupt:
            self._interrupt()

    def pause(self) -> bool:
        """The agent falls silent and hears nothing until `resume`; False when it is ending the call."""
        if self._is_closing or (self._turn and self._turn.ends_call):
            return False
        self._elsewhere = self._elsewhere or _ignore
        self._is_here.clear()
        self._interrupt()
        return True

    def resume(self) -> None:
        """The agent is there again."""
        self._elsewhere = None
        self._is_here.set()

    def join(self, other: Leg) -> None:
        """While paused: let the callee talk with who is on `other`; the call ends as `transferred`."""
        self._verdict = TRANSFERRED
        self._elsewhere = bridge(self._leg, other, lambda: self._elsewhere is not None)

    def leave(self) -> None:
        """Who the callee was joined with is gone: hang up."""
        self.on_leg_event(Ended(Cause.TRANSFERRED))

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
        self._watch_clock()
        if self._elsewhere:
            self._stream(SILENCE_FRAME)
            self._elsewhere(frame)
            return
        self._stream(frame)
        match self._ear.hear(frame):
            case Utterance() as utterance:
                self._heard(utterance)
            case TurnEvent.STARTED:
                self._tell(lambda: self._listener.on_speech_started("user"))
            case _:
                pass
        self._detected(self._detector.tick(is_voiced=not self._ear.silence_ms))
        self._listen_for_beep(frame)
        self._barge_in()
        self._open_when_greeted()
        self._count_quiet()
        if (keys := self._keys.tick()) is not None:
            self._request(Keys(keys))

    def _watch_clock(self) -> None:
        if self.now_ms() >= self._options.max_duration.total_seconds() * 1000:
            self._close(Close(Outcome("completed", "max_duration"), self._options.phrases.time_is_up))

    def _played(self, frame: bytes) -> None:
        if self._recorder:
            self._recorder.agent(frame)
        if self._turn:
            self._turn.frame_played()

    def _heard(self, utterance: Utterance) -> None:
        self._may_open.set()
        turn = self._turn
        if turn and turn.is_held and not turn.is_interrupted:
            self._beside(self._weigh(turn, utterance))
        elif (turn and not turn.is_interrupted) or self._is_closing:
            self._beside(self._note(utterance))
        else:
            self._request(utterance)

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    def _barge_in(self) -> None:
        """The audio stops at once; whether it was an interruption is known when the voice goes on or is understood."""
        turn, voiced_ms = self._turn, self._ear.voiced_ms
        if not turn or not turn.may_interrupt or voiced_ms < self._barge_in_ms:
            return
        if not turn.is_held:
            turn.hold()
            turn.timings.barge_in_ms = self.now_ms() - self._ear.start_ms
            self._ear.expect("yes_no")
        elif voiced_ms >= self._options.interrupt_ms:
            self._ear.expect("open")
            self._interrupt()

    async def _weigh(self, turn: AgentTurn, utterance: Utterance) -> None:
        """What stopped the agent was short: it goes on, unless it was told something."""
        await asyncio.wait({utterance.text}, timeout=self._options.engine_timeout.total_seconds())
        is_known = utterance.text.done() and not utterance.text.cancelled() and not utterance.text.exception()
        is_answer = turn.expects == "yes_no" and turn.has_asked and is_known and utterance.text.result()
        if is_known and is_backchannel(utterance.text.result()) and not is_answer:
            turn.resume()
            await self._note(utterance)
        elif not turn.is_interrupted:
            turn.interrupt()
            self._request(utterance)

    def _open_when_greeted(self) -> None:
        if self.now_ms() >= self._options.hello_wait.total_seconds() * 1000 and not self._ear.is_hearing:
            self._may_open.set()

    def _count_quiet(self) -> None:
        if not self._is_idle or self._ear.is_hearing or self._keys.pending:
            self._quiet_ms = 0
            return
        self._quiet_ms += FRAME_MS
        if self._quiet_ms >= self._patience.total_seconds() * 1000:
            self._quiet_ms = 0
            self._request(Quiet())

    @property
    def _patience(self) -> timedelta:
        if self._is_screened:
            return SCREENING_PATIENCE
        return MENU_PATIENCE if self._is_in_menu else self._options.silence_timeout

    def _listen_for_beep(self, frame: bytes) -> None:
        if self._verdict:
            if self._beeps.feed(frame) or self._ear.silence_ms >= GREETING_OVER_MS:
                self._may_leave_message.set()
        elif self.now_ms() < GREETS_WITHIN_MS and self._beeps.feed(frame):
            self._detected(self._detector.machine("beep"))
            self._found_machine(beep=True)

    # ---- what happens at once ----------------------------------------------------------------------------------

    def _press(self, digit: str) -> None:
        if self._elsewhere:
            return
        if self._turn and self._turn.may_interrupt:
            self._interrupt()
        if (keys := self._keys.press(digit)) is not None:
            self._request(Keys(keys))

    def _found_machine(self, *, beep: bool) -> None:
        if beep:
            self._may_leave_message.set()
        if not self._verdict and not self._options.detection.ignores_voicemail:
            self._verdict = VOICEMAIL
            self._close(Close(VOICEMAIL, self._options.voicemail_message, after_beep=True))

    def _detected(self, verdict: Verdict | None) -> None:
        if verdict is None or not self._options.detection.is_on:
            return
        self._tell(lambda: self._listener.on_detected(verdict, self.now_ms()))
        policy = self._options.detection
        if verdict.kind == "voicemail" and verdict.by == "words":
            self._found_machine(beep=False)
        elif verdict.kind == "screening" and policy.screening == "hang_up":
            self._close(Close(SCREENING, None))
        elif verdict.kind == "ivr" and policy.ivr == "hang_up":
            self._close(Close(IVR, None))

    @property
    def _is_screened(self) -> bool:
        """Is an assistant asking on behalf of a person, and do we answer it?"""
        verdict = self._detector.verdict
        return self._options.detection.screening == "answer" and verdict is not None and verdict.kind == "screening"

    def _introduce(self, asked: str) -> None:
        """Tell a screening assistant who calls: when it asks, and again where it has not heard it to the end."""
        before = self._introduced
        if before and (not before.done() or (before.result() and not asks_who_calls(asked))):
            return
        self._introduced = self._loop.create_future()
        if not self._request(Announcement(self._options.detection.introduction, self._introduced)):
            self._introduced.set_result(False)

    def _interrupt(self) -> None:
        if self._turn:
            self._turn.interrupt()

    def _request(self, request: Request) -> bool:
        if self._is_closing or self._requests.full():
            return False
        self._is_idle = False
        self._requests.put_nowait(request)
        return True

    def _close(self, request: Close) -> None:
        """The last request: nothing that waits is done before it, nothing comes after it."""
        if self._is_closing or (self._turn and self._turn.ends_call):
            return
        while not self._requests.empty():
            if isinstance(dropped := self._requests.get_nowait(), Announcement):
                dropped.heard.set_result(False)
        self._request(request)
        self._is_closing = True
        self.resume()
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
            await self._apologise(self._verdict)
        except Exception:
            log.exception("session_failed")
            self._verdict = BROKEN
        return self._verdict

    async def _apologise(self, failure: Outcome) -> None:
        """The engines are broken: somebody else takes the call over, or it ends with an excuse."""
        number, phrases = self._options.rescue_number, self._options.phrases
        with suppress(EngineError):
            await self._say_last(phrases.rescue if number else phrases.apology)
        if not number:
            return
        self._verdict = TRANSFERRED
        try:
            async with asyncio.timeout(RESCUE_WAIT.total_seconds()):
                await self._leg.transfer(number)
        except (TransferFailedError, TimeoutError) as error:
            log.warning("rescue_failed", error=repr(error))
            self._verdict = failure
            with suppress(EngineError):
                await self._say_last(phrases.apology)

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
                case Keys(text):
                    now = self.now_ms()
                    pressed = Turn("user", text, now, now)
                    self._record(pressed, TurnTimings())
                    turn = await self._reply(pressed)
                case Menu(said):
                    turn = await self._reply(said)
                case Quiet():
                    self._silences += 1
                    turn = await self._speak(self._conversation.silence(self._silences))
                    if turn.ends_call:
                        return Outcome("silence", "silence_timeout", "callee")
                case Announcement(text, heard):
                    turn = await self._speak(_only(text))
                    if not heard.done():
                        heard.set_result(bool(turn.spoken()) and not turn.is_interrupted)
                case Close():
                    return await self._end(request)
        return self._verdict or Outcome("completed", "agent_hung_up")

    async def _answer(self, utterance: Utterance) -> AgentTurn | None:
        conversation = self._conversation
        if isinstance(conversation, DirectConversation) and conversation.is_hearing and not self._is_screened:
            self._beside(self._note(utterance))
            outputs = conversation.answer(utterance.pcm, self._log.turns)
            return await self._speak(outputs, answers_ms=utterance.end_ms)
        text, timings = await self._understand(utterance, is_awaited=True)
        if text:
            return await self._react(Turn("user", text, utterance.start_ms, utterance.end_ms), timings)
        if text is None or self._log.was_cut:
            return await self._speak(_only(self._options.phrases.repeat))
        return None

    async def _react(self, said: Turn, timings: TurnTimings) -> AgentTurn | None:
        """A screening assistant is not conversed with; who comes to the phone after it is greeted like any callee."""
        was_screened = self._is_screened
        self._record(said, timings)
        if self._is_screened:
            return None
        return await (self._speak(self._conversation.opening()) if was_screened else self._reply(said))

    async def _reply(self, said: Turn) -> AgentTurn:
        heard, history = self._log.ask(said)
        reply = await self._speak(self._conversation.reply(heard, history), answers_ms=said.end_ms)
        if reply.spoken() or not reply.is_interrupted:
            self._log.answered()
        return reply

    async def _end(self, request: Close) -> Outcome:
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
        await self._is_here.wait()
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
        """Words that neither waited for an answer nor interrupted: kept, not answered; only menus are."""
        with suppress(EngineError):
            text, timings = await self._understand(utterance)
            if text:
                said = Turn("user", text, utterance.start_ms, utterance.end_ms)
                self._record(said, timings)
                if self._is_in_menu and not (self._turn and self._turn.ends_call):
                    self._interrupt()
                    self._request(Menu(said))

    async def _fill_until(self, utterance: Utterance) -> None:
        """Recognition takes long: the callee is not left in silence meanwhile."""
        since_ms = utterance.end_ms
        while not utterance.text.done() and not self._is_closing:
            patience = self._options.filler_after - timedelta(milliseconds=self.now_ms() - since_ms)
            await asyncio.wait({utterance.text}, timeout=max(0.02, patience.total_seconds()))
            if not utterance.text.done() and (filler := self._stock.next_filler()):
                await self._speak(_only(filler[0]))
                since_ms = self.now_ms()

    async def _understand(self, utterance: Utterance, *, is_awaited: bool = False) -> tuple[str | None, TurnTimings]:
        """The text; empty for noise, None when recognition failed once.

        Raises:
            EngineError: it failed twice in a row.
        """
        try:
            async with asyncio.timeout(self._options.engine_timeout.total_seconds()):
                if is_awaited:
                    await self._fill_until(utterance)
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
            self._is_in_menu = self._options.detection.ivr == "navigate" and sounds_like_menu(turn.text)
            if turn.start_ms < GREETS_WITHIN_MS or self._is_screened:
                self._detected(self._detector.words(turn.text))
            if self._is_screened:
                self._introduce(turn.text)

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
