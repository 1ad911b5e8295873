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
)
from call_service.voice.answering import Answering
from call_service.voice.brain.sentences import split_sentences
from call_service.voice.bridge import bridge
from call_service.voice.detection import Verdict
from call_service.voice.direct import DirectConversation
from call_service.voice.dtmf import KeyCollector
from call_service.voice.endings import (
    BROKEN,
    HUNG_UP,
    SILENCE,
    TOO_LONG,
    TRANSFERRED,
    VOICEMAIL,
    engine_failure,
    outcome_of_leg,
)
from call_service.voice.endpointing import TurnEvent
from call_service.voice.engines.bundle import Engines
from call_service.voice.interrupting import Interruptions
from call_service.voice.last_words import LastWords
from call_service.voice.listening import Ear, Utterance
from call_service.voice.minutes import Minutes
from call_service.voice.options import Outcome, SessionListener, SessionOptions, SessionResult, TurnTimings
from call_service.voice.ports import BrainOutput, Conversation, EngineError, Say, Transfer, Turn
from call_service.voice.recorder import Recorder
from call_service.voice.requests import Announcement, Close, Keys, Menu, Quiet, Request, Requests
from call_service.voice.rescue import is_rescued
from call_service.voice.speaking import AgentTurn, Voice
from call_service.voice.stock import Stock
from call_service.voice.turns import TurnLog
from call_service.voice.understanding import Understanding

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

BEEP_WAIT = timedelta(seconds=30)
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
        self._recorder = recorder
        self.transfer = on_transfer
        self._loop = asyncio.get_running_loop()
        self._answered_at = self._loop.time()
        self._ear = Ear(engines.recognizer, engines.voice_activity(), options.endpointing, self.now_ms)
        self._stream = engines.hear
        self._stock = Stock(engines.synthesizer, options.voice_id, options.phrases)
        self._voice = Voice(leg, self._stock, options, self.now_ms)
        self._interruptions = Interruptions(options, self._ear, self.now_ms)
        self._keys = KeyCollector(options.dtmf_pause)
        self._answering = Answering(options.detection, self)
        self._understanding = Understanding(options, self.now_ms, lambda: self._is_closing)
        self._log = TurnLog()
        self._minutes = Minutes(self._log, listener, self.now_ms)
        self._last_words = LastWords(self._minutes.said)
        self._requests = Requests()
        self._asides: set[asyncio.Task[None]] = set()
        self._turn: AgentTurn | None = None
        self._ear.expect("yes_no")  # "Hello?" is short
        self._may_open = asyncio.Event()
        self._is_idle = False
        self._verdict: Outcome | None = None
        self._elsewhere: Callable[[bytes], None] | None = None  # who hears the callee while the agent does not
        self._is_here = asyncio.Event()
        self._is_here.set()
        self._quiet_ms = 0
        self._silences = 0
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
        try:
            outcome = await self._until_end()
            self._requests.is_closed = True
            await self._last_words.write()
        finally:
            self._ear.close()
        return self._minutes.result(outcome)

    async def _until_end(self) -> Outcome:
        conductor = asyncio.create_task(self._conduct())
        either: set[asyncio.Future[Any]] = {conductor, self._leg_end}
        limit = self._options.max_duration + STALLED_AFTER
        try:
            await asyncio.wait(either, timeout=limit.total_seconds(), return_when=asyncio.FIRST_COMPLETED)
            if utterance := self._ear.finish():
                self._last_words.heard(utterance)
            decided = conductor.done() and not self._leg_end.done()
            return conductor.result() if decided else self._outcome_of_leg()
        finally:
            await self._stop(conductor)

    def on_leg_event(self, event: LegEvent) -> None:
        """What the carrier reports."""
        match event:
            case DtmfReceived(digit):
                self._press(digit)
            case MachineDetected(beep):
                self._answering.machine("carrier", beep=beep)
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
                self._minutes.started("user")
            case _:
                pass
        self._answering.hear(frame, silence_ms=self._ear.silence_ms, is_ending=self._verdict is not None)
        self._interruptions.hear(self._turn)
        self._open_when_greeted()
        self._count_quiet()
        if (keys := self._keys.tick()) is not None:
            self._request(Keys(keys))

    def _watch_clock(self) -> None:
        if self.now_ms() >= self._options.max_duration.total_seconds() * 1000:
            self._close(Close(TOO_LONG, self._options.phrases.time_is_up))

    def _played(self, frame: bytes) -> None:
        if self._recorder:
            self._recorder.agent(frame)
        if self._turn:
            self._turn.frame_played()

    def _heard(self, utterance: Utterance) -> None:
        self._may_open.set()
        self._last_words.heard(utterance)
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

    async def _weigh(self, turn: AgentTurn, utterance: Utterance) -> None:
        if not await self._interruptions.is_one(turn, utterance):
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
        patience = self._answering.patience or self._options.silence_timeout
        if self._quiet_ms >= patience.total_seconds() * 1000:
            self._quiet_ms = 0
            self._request(Quiet())

    # ---- what happens at once ----------------------------------------------------------------------------------

    def _press(self, digit: str) -> None:
        if self._elsewhere:
            return
        if self._turn and self._turn.may_interrupt:
            self._interrupt()
        if (keys := self._keys.press(digit)) is not None:
            self._request(Keys(keys))

    def detected(self, verdict: Verdict) -> None:
        """It is known who answered, or known better."""
        self._minutes.detected(verdict)

    def found_machine(self) -> None:
        """A voicemail answered: leave a message, if there is one."""
        if not self._verdict:
            self._verdict = VOICEMAIL
            self._close(Close(VOICEMAIL, self._options.voicemail_message, after_beep=True))

    def hang_up_on(self, outcome: Outcome) -> None:
        """This callee is not talked to."""
        self._close(Close(outcome, None))

    def introduce(self, announcement: Announcement) -> bool:
        """Say who calls; False when nothing is said any more."""
        return self._request(announcement)

    def _interrupt(self) -> None:
        if self._turn:
            self._turn.interrupt()

    @property
    def _is_closing(self) -> bool:
        return self._requests.is_closed

    def _request(self, request: Request) -> bool:
        is_taken = self._requests.put(request)
        self._is_idle = self._is_idle and not is_taken
        return is_taken

    def _close(self, request: Close) -> None:
        """The last request."""
        if self._is_closing or (self._turn and self._turn.ends_call):
            return
        self._requests.end_with(request)
        self._is_idle = False
        self.resume()
        self._interrupt()

    # ---- the conductor -----------------------------------------------------------------------------------------

    async def _conduct(self) -> Outcome:
        try:
            return await self._converse()
        except EngineError as error:
            log.warning("engine_failed", stage=error.stage, error=str(error))
            self._verdict = engine_failure(error.stage)
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
        if not await is_rescued(self._leg, number):
            self._verdict = failure
            with suppress(EngineError):
                await self._say_last(phrases.apology)

    async def _converse(self) -> Outcome:
        turn = await self._open()
        self._interruptions.opened()
        while not turn.ends_call:
            self._is_idle = self._requests.are_done
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
                        return SILENCE
                case Announcement():
                    turn = await self._announce(request)
                case Close():
                    return await self._end(request)
        return self._verdict or HUNG_UP

    async def _open(self) -> AgentTurn:
        return await self._speak(self._conversation.opening(), may_start=self._may_open)

    async def _announce(self, request: Announcement) -> AgentTurn:
        turn = await self._say(request.text)
        if not request.heard.done():
            request.heard.set_result(bool(turn.spoken()) and not turn.is_interrupted)
        return turn

    async def _say(self, text: str) -> AgentTurn:
        return await self._speak(_only(text))

    async def _answer(self, utterance: Utterance) -> AgentTurn | None:
        conversation = self._conversation
        if isinstance(conversation, DirectConversation) and conversation.is_hearing and not self._answering.is_screened:
            self._beside(self._note(utterance, is_answered=True))
            outputs = conversation.answer(utterance.pcm, self._log.turns)
            return await self._speak(outputs, answers_ms=utterance.end_ms)
        text, timings = await self._understanding.of(utterance, self._fill)
        if text:
            return await self._react(Turn("user", text, utterance.start_ms, utterance.end_ms), timings)
        if text is None or self._log.was_cut:
            return await self._say(self._options.phrases.repeat)
        return None

    async def _react(self, said: Turn, timings: TurnTimings) -> AgentTurn | None:
        """A screening assistant is not conversed with; who comes to the phone after it is greeted like any callee."""
        was_screened = self._answering.is_screened
        self._record(said, timings)
        if self._answering.is_screened:
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
                    await self._answering.may_leave_message.wait()
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
        self._requests.is_closed = True
        await self._speak(_only(text), is_last=True)

    # ---- what was said -----------------------------------------------------------------------------------------

    def collected(self, field: str, value: str) -> None:
        """The brain got a value from the callee."""
        self._minutes.collected(field, value)

    def agent_started(self) -> None:
        """The first frame of an agent turn went out."""
        self._minutes.started("agent")

    async def _note(self, utterance: Utterance, *, is_answered: bool = False) -> None:
        """Words that neither waited for an answer nor interrupted, or that have one: kept; only menus get one."""
        with suppress(EngineError):
            text, timings = await self._understand(utterance)
            if text:
                said = Turn("user", text, utterance.start_ms, utterance.end_ms)
                self._record(said, timings)
                may_answer = not (is_answered or (self._turn and self._turn.ends_call))
                if self._answering.is_in_menu and may_answer:
                    self._interrupt()
                    self._request(Menu(said))

    async def _fill(self) -> bool:
        filler = self._stock.next_filler()
        if filler:
            await self._speak(_only(filler[0]))
        return filler is not None

    async def _understand(self, utterance: Utterance) -> tuple[str | None, TurnTimings]:
        return await self._understanding.of(utterance)

    def _record(self, turn: Turn, timings: TurnTimings) -> None:
        self._minutes.said(turn, timings)
        if turn.role == "user":
            self._last_words.written(turn)
            self._silences = 0
            self._answering.words(turn)

    # ---- the end -----------------------------------------------------------------------------------------------

    def _outcome_of_leg(self) -> Outcome:
        return self._verdict or outcome_of_leg(self._leg_end.result() if self._leg_end.done() else None)

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
        await asyncio.wait(tasks, timeout=STOP_TIMEOUT.total_seconds())
