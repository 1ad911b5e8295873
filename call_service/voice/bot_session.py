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

from call_service.carriers.port import SILENCE_FRAME, Leg
from call_service.voice.bot_talk import BotTalk
from call_service.voice.bot_words import BotWords
from call_service.voice.bots import BotAtWork, Successor
from call_service.voice.brain.sentences import split_sentences
from call_service.voice.direct import PIPELINE
from call_service.voice.engines.bundle import Engines
from call_service.voice.fallback import Switch
from call_service.voice.listening import Utterance
from call_service.voice.options import Outcome, SessionListener, SessionOptions
from call_service.voice.ports import BrainOutput, Conversation, EngineError, Say, Turn
from call_service.voice.requests import Announcement, BotLeft, Close
from call_service.voice.session import VoiceSession
from call_service.voice.speaking import AgentTurn

# What a bot has sent before it hung up is its goodbye; what a broken one has sent is cut off before it gets long.
GOODBYE = timedelta(seconds=30)
REST = timedelta(seconds=3)
TAIL = timedelta(milliseconds=100)
HANG_UP = timedelta(seconds=5)


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
        self._words = BotWords(at_work.recognizer, engines.voice_activity(), self.now_ms, self._record)
        self._talk = BotTalk(at_work, leg, options.filler_after, self)

    def interrupt(self) -> None:
        """Cut off what the agent says, unless it is the end of the call."""
        super().interrupt()
        if self._talk.is_live and not self.is_muted():
            self.cut_bot()

    def pause(self) -> bool:
        """The bot hears silence, and nobody hears it, until `resume`; False when the call is being ended."""
        is_paused = super().pause()
        if is_paused and self._talk.is_live:
            self.cut_bot()
        return is_paused

    # ---- frames ------------------------------------------------------------------------------------------------

    def _hear(self, frame: bytes) -> None:
        super()._hear(frame)
        self._talk.hear(SILENCE_FRAME if self._elsewhere else frame)

    def _played(self, frame: bytes) -> None:
        super()._played(frame)
        if self._words.hear(SILENCE_FRAME if self._turn or self._elsewhere else frame):
            self.agent_started()

    def _heard(self, utterance: Utterance) -> None:
        if self._talk.is_live:
            self._beside(self._write_down(utterance))
        else:
            super()._heard(utterance)

    def _press(self, digit: str) -> None:
        if self._talk.is_live and not self._elsewhere:
            self._talk.press(digit)
        else:
            super()._press(digit)

    async def _write_down(self, utterance: Utterance) -> None:
        """The bot has heard it, and is to answer it; once it is gone, we are."""
        text: str | None = None
        said = Turn("user", "", utterance.start_ms, utterance.end_ms)
        with suppress(EngineError):
            text, timings = await self._understand(utterance)
            said = Turn("user", text or "", utterance.start_ms, utterance.end_ms)
            if text and self._talk.is_live:
                self._record(said, timings)
        if not self._talk.is_live:
            self._request(utterance)
        elif text != "":  # which is noise; None is what nobody understood
            self._words.asked(said.end_ms)
            self._talk.asked(said)

    # ---- the bot -----------------------------------------------------------------------------------------------

    def is_muted(self) -> bool:
        """Does the session speak itself, or somebody else listen?"""
        return bool(self._turn or self._elsewhere or self._is_closing)

    def cut_bot(self) -> None:
        """Drop what was not played yet of what it says."""
        self._words.cut()
        self._talk.cut()

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
            match await self._requests.get():
                case Announcement(text, heard):
                    turn = await self._speak(_sentences(text))
                    if not heard.done():
                        heard.set_result(bool(turn.spoken()) and not turn.is_interrupted)
                case Close() as close:
                    return await self._end(close)
                case _:  # the bot has heard it itself
                    pass
        is_speaking = self._talk.unheard_ms > 0
        if self._talk.error is None:
            await self._play_out(GOODBYE)
            return self._verdict or Outcome("completed", "agent_hung_up")
        self._take_over(self._talk.error, is_speaking=is_speaking)
        await self._play_out(REST)
        return await super()._converse()

    async def _play_out(self, limit: timedelta) -> None:
        """Let what the bot has sent be heard."""
        unheard = timedelta(milliseconds=self._talk.unheard_ms)
        if unheard:
            await asyncio.sleep((min(unheard, limit) + TAIL).total_seconds())
        if unheard > limit:
            self._words.cut()
        self._talk.cut()

    def _take_over(self, error: Exception, *, is_speaking: bool) -> None:
        why: Literal["late", "failed"] = "late" if isinstance(error, TimeoutError) else "failed"
        self._at_work.on_switch(Switch("s2s", self._at_work.name, PIPELINE, why, str(error)))
        if not self._talk.has_sounded:
            return
        self._may_open.set()
        heard, history = "", self._log.turns
        for said in self._talk.unanswered:
            heard, history = self._log.ask(said)
        self._log.answered()
        is_cut = is_speaking or why == "late"
        repeat = self._options.phrases.repeat if is_cut else ""
        self._conversation = Successor(self._conversation, heard, history, repeat)

    async def _speak(self, outputs: AsyncIterator[BrainOutput], **how: Any) -> AgentTurn:
        if self._talk.is_live:
            self.cut_bot()
        return await super()._speak(outputs, **how)

    async def _stop(self, conductor: asyncio.Task[Outcome]) -> None:
        with suppress(Exception):  # it is done again, and told, by the parent
            async with asyncio.timeout(HANG_UP.total_seconds()):
                await self._leg.hang_up()
        await self._words.finish()
        await super()._stop(conductor)
        self._words.close()


async def _sentences(text: str) -> AsyncIterator[BrainOutput]:
    for sentence in split_sentences(text):
        yield Say(sentence)
