"""A session whose conversation is held by a bot, until it hangs up or fails; then the pipeline goes on.

The bot hears the callee all the time and decides who speaks when. The telephone stays ours: machines, keys, holding,
transfers, announcements, recording, time-outs. What the session says itself is said instead of the bot.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Literal

import structlog

from call_service.carriers.port import BYTES_PER_MS, SILENCE_FRAME, Leg
from call_service.voice.bot_talk import BotTalk
from call_service.voice.bot_words import BotWords
from call_service.voice.bots import BotAtWork
from call_service.voice.direct import PIPELINE
from call_service.voice.endings import HUNG_UP
from call_service.voice.engines.bundle import Engines
from call_service.voice.fallback import Switch
from call_service.voice.listening import Utterance
from call_service.voice.options import Outcome, SessionListener, SessionOptions
from call_service.voice.ports import BrainOutput, Conversation, EngineError, Turn
from call_service.voice.requests import Announcement, BotLeft, Close
from call_service.voice.session import VoiceSession
from call_service.voice.speaking import AgentTurn

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# What a bot has sent before it hung up is its goodbye; what a broken one has sent is cut off before it gets long.
GOODBYE = timedelta(seconds=30)
REST = timedelta(seconds=3)
TAIL = SILENCE_FRAME * 5
LEAVING = timedelta(seconds=5)


def session_of(at_work: BotAtWork | None) -> Callable[..., VoiceSession]:
    """What makes the session of a call with this bot, or with none: takes what `VoiceSession` does."""
    return partial(BotSession, at_work=at_work) if at_work else VoiceSession


class BotSession(VoiceSession):
    """As its parent; `conversation` is what takes over from the bot."""

    def __init__(
        self,
        leg: Leg,
        engines: Engines,
        conversation: Conversation,
        options: SessionOptions,
        listener: SessionListener,
        *,
        at_work: BotAtWork,
        **named: Any,
    ) -> None:
        super().__init__(leg, engines, conversation, options, listener, **named)
        self._at_work = at_work
        self._was_speaking = False
        self._words = BotWords(at_work.recognizer, engines.voice_activity(), self.now_ms, self._record)
        self._talk = BotTalk(at_work, leg, options.filler_after, self)

    def interrupt(self) -> None:
        """Cut off what the agent says, unless it is the end of the call."""
        super().interrupt()
        if self._talk.is_live and not self.is_muted():
            self.cut_bot()

    def pause(self) -> bool:
        """The bot hears silence, and nobody hears it, until `resume`; False when the call is being ended."""
        was_here = not self._elsewhere
        is_paused = super().pause()
        if is_paused and was_here:
            self._drop_queued()
        return is_paused

    def join(self, other: Leg) -> None:
        """As its parent; the bot is let go."""
        super().join(other)
        self._talk.dismiss()

    # ---- frames ------------------------------------------------------------------------------------------------

    def _hear(self, frame: bytes) -> None:
        super()._hear(frame)
        self._talk.hear(SILENCE_FRAME if self._elsewhere else frame)

    def _played(self, frame: bytes) -> None:
        super()._played(frame)
        if self._words.hear(SILENCE_FRAME if self._turn or self._elsewhere else frame):
            self.agent_started()

    def _heard(self, utterance: Utterance) -> None:
        if self._talk.error:
            super()._heard(utterance)
        else:
            self._last_words.heard(utterance)
            self._beside(self._write_down(utterance))

    def _press(self, digit: str) -> None:
        if self._talk.is_live and not self._elsewhere:
            self._talk.press(digit)
        else:
            super()._press(digit)

    async def _write_down(self, utterance: Utterance) -> None:
        """The bot has heard it, and is to answer it; when it has failed, we are."""
        text: str | None = None
        said = Turn("user", "", utterance.start_ms, utterance.end_ms)
        with suppress(EngineError):
            text, timings = await self._understand(utterance)
            said = Turn("user", text or "", utterance.start_ms, utterance.end_ms)
            if text and not self._talk.error:
                self._record(said, timings)
        if self._talk.error:
            self._request(utterance)
        elif text != "":  # which is noise; None is what nobody understood
            self._words.asked(said.end_ms)
            self._talk.asked(said)

    # ---- the bot -----------------------------------------------------------------------------------------------

    def is_muted(self) -> bool:
        """Does the session speak itself, or somebody else listen?"""
        return bool(self._turn or self._elsewhere or self._is_closing)

    def cut_bot(self) -> None:
        """Drop what was not played yet of what it says; what somebody else says to the callee is not ours to drop."""
        if not self._elsewhere:
            self._drop_queued()

    def filler(self) -> bytes:
        """The next phrase for a silence."""
        filler = self._stock.next_filler()
        return filler[1] if filler else b""

    def bot_left(self) -> None:
        """It has hung up, or failed."""
        self._request(BotLeft())

    async def _converse(self) -> Outcome:
        self._talk.begin()
        while self._talk.is_live:
            if outcome := await self._serve():
                return outcome
        if self._talk.error is None:
            return await self._see_off()
        self._tell_switch(self._talk.error)
        self._was_speaking = self._talk.unheard_ms > 0
        await self._play_out(REST)
        return await super()._converse()

    async def _serve(self) -> Outcome | None:
        """Do what is asked for next; the outcome if that ends the call."""
        match await self._requests.get():
            case Announcement() as announcement:
                await self._interject(announcement)
            case Close() as close:
                return await self._end(close)
            case _:  # the bot has heard it itself
                pass
        return None

    async def _interject(self, announcement: Announcement) -> None:
        """One that can't be said is no reason to end a conversation that does without our voice."""
        try:
            await self._announce(announcement)
        except EngineError as error:
            log.warning("announcement_failed", stage=error.stage, error=str(error))
            if not announcement.heard.done():
                announcement.heard.set_result(False)

    async def _see_off(self) -> Outcome:
        """The bot has hung up: so do we, but not on a callee who is on hold or talks with somebody else."""
        await self._is_here.wait()
        await self._play_out(GOODBYE)
        while True:
            await self._is_here.wait()
            if self._requests.are_done:
                return self._verdict or HUNG_UP
            if outcome := await self._serve():
                return outcome

    async def _open(self) -> AgentTurn:
        """What the pipeline says first: it goes on where the bot stopped."""
        if not self._talk.has_sounded:
            return await super()._open()
        if unanswered := self._talk.unanswered:
            heard, history = [self._log.ask(said) for said in unanswered][-1]
            self._log.answered()
            return await self._speak(self._conversation.reply(heard, history))
        if self._was_speaking or isinstance(self._talk.error, TimeoutError):
            return await self._say(self._options.phrases.repeat)
        return AgentTurn(self._voice, self)  # nobody waits for a word

    async def _play_out(self, limit: timedelta) -> None:
        """Let what the bot has sent be heard, unless somebody drops it."""
        unheard = timedelta(milliseconds=self._talk.unheard_ms)
        if unheard and not self._elsewhere:
            is_over = asyncio.Event()
            self._leg.play(TAIL)
            self._leg.mark(is_over.set)
            tail = timedelta(milliseconds=len(TAIL) // BYTES_PER_MS)
            with suppress(TimeoutError):
                async with asyncio.timeout((min(unheard, limit) + tail).total_seconds()):
                    await is_over.wait()
        if self._elsewhere:
            return
        if unheard > limit:
            self._words.cut()
        self._talk.cut()

    def _drop_queued(self) -> None:
        self._words.cut()
        self._talk.cut()

    def _close(self, request: Close) -> None:
        was_closing = self._is_closing
        super()._close(request)
        if self._is_closing and not was_closing:
            self.cut_bot()

    def _tell_switch(self, error: Exception) -> None:
        why: Literal["late", "failed"] = "late" if isinstance(error, TimeoutError) else "failed"
        self._at_work.on_switch(Switch("s2s", self._at_work.name, PIPELINE, why, str(error)))

    async def _speak(self, outputs: AsyncIterator[BrainOutput], **how: Any) -> AgentTurn:
        await self._is_here.wait()
        if self._talk.is_live:
            self.cut_bot()
        return await super()._speak(outputs, **how)

    async def _stop(self, conductor: asyncio.Task[Outcome]) -> None:
        try:
            with suppress(Exception):  # it is done again, and told, by the parent
                async with asyncio.timeout(LEAVING.total_seconds()):
                    await self._leg.hang_up()
            await self._words.finish()
        finally:
            await super()._stop(conductor)
            self._words.close()
