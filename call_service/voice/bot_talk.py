"""What a bot and the callee hear of each other, and for how long the bot may leave the callee in silence."""

from datetime import timedelta
from typing import Protocol

from call_service.carriers.g711 import rms
from call_service.carriers.port import BYTES_PER_MS, SILENCE_FRAME, Leg
from call_service.voice.backchannels import is_backchannel
from call_service.voice.bots import BotAtWork
from call_service.voice.ports import EngineError, Turn

# Of a telephone's int16 samples: comfort noise is quieter, a whisper is not.
AUDIBLE_RMS = 60
# A bot that sends sound as it plays gets so much ahead of it; the network between is never even.
LEAD = SILENCE_FRAME * 3
# Shorter ones, between two sounds, are gaps in speech that comes too slowly; in longer ones somebody is to answer.
GAP_MS = 1_000


class BotHost(Protocol):
    """The session that a bot holds the conversation of."""

    def now_ms(self) -> int:
        """Milliseconds since the answer."""

    def is_muted(self) -> bool:
        """Does somebody else speak or listen, so that the bot is not to be heard?"""

    def filler(self) -> bytes:
        """What is said into the silence while an answer is owed; empty where there is nothing."""

    def cut_bot(self) -> None:
        """Drop what was not played yet of what the bot says."""

    def bot_left(self) -> None:
        """It has hung up, or failed; told once."""


class BotTalk:
    """A `BotListener`, for the time that its bot `is_live`."""

    def __init__(self, at_work: BotAtWork, leg: Leg, filler_after: timedelta, host: BotHost) -> None:
        self._bot = at_work.bot
        self._patience_ms = _ms(at_work.patience) if at_work.patience else None
        self._leg = leg
        self._filler_after_ms = _ms(filler_after)
        self._host = host
        self.is_live = False
        self.error: EngineError | TimeoutError | None = None
        """Why the bot is here no more; None: it has hung up."""
        self.has_sounded = False
        self.unanswered: list[Turn] = []
        self._owed_since_ms: int | None = None
        self._quiet_since_ms = 0
        self._plays_until_ms = 0
        self._silent_end_ms = 0
        self._sounded_at_ms = -1
        self._gaps_ms = 0

    @property
    def unheard_ms(self) -> int:
        """What was not played yet, without the silence at its end: Pipecat sends two seconds when it hangs up."""
        return max(0, self._leg.queued_ms - self._silent_end_ms)

    def begin(self) -> None:
        """The call was answered, and the bot has to say something."""
        self.is_live = True
        self._owe(self._host.now_ms())
        self._bot.begin(self)

    def hear(self, frame: bytes) -> None:
        """20 ms of the callee, for the bot; the time passes with them."""
        if self.is_live:
            self._bot.hear(frame)
            self._wait()

    def press(self, digit: str) -> None:
        """The callee pressed a key."""
        self._bot.press(digit)

    def asked(self, turn: Turn) -> None:
        """The callee has said something; a bot that has made a sound since then has answered it.

        A text that was not understood may be empty: who has spoken is owed an answer.
        """
        if (turn.text and is_backchannel(turn.text)) or self._sounded_at_ms > turn.end_ms:
            return
        if turn.text:
            self.unanswered.append(turn)
        self._gaps_ms = 0
        if self._owed_since_ms is None:
            self._owe(max(turn.end_ms, self._plays_until_ms))

    def dismiss(self) -> None:
        """It is needed no more: the callee talks with somebody else until the end of the call."""
        self._end(None)

    def cut(self) -> None:
        """Drop what was not played yet; of whoever speaks on the leg."""
        self._plays_until_ms = min(self._plays_until_ms, self._host.now_ms())
        self._leg.clear()

    # ---- what comes from the bot -------------------------------------------------------------------------------

    def on_sound(self, pcm: bytes) -> None:
        """Play it, unless somebody else speaks or listens."""
        if not self.is_live or self._host.is_muted():
            return
        gap_ms = self._host.now_ms() - self._plays_until_ms
        if not self._leg.queued_ms:
            self._leg.play(LEAD)
        self._leg.play(pcm)
        ms = len(pcm) // BYTES_PER_MS
        if rms(pcm) >= AUDIBLE_RMS:
            self._silent_end_ms = 0
            self._sounded(ms, gap_ms)
        else:
            self._silent_end_ms += ms

    def on_clear(self) -> None:
        """It lets itself be interrupted."""
        if self.is_live and not self._host.is_muted():
            self._host.cut_bot()

    def on_mark(self, name: str) -> None:
        """Tell it where the callee is."""
        if self._host.is_muted():
            self._bot.played(name)
        else:
            self._leg.mark(lambda: self._bot.played(name))

    def on_end(self, error: EngineError | None) -> None:
        """One that hangs up without a word has failed."""
        if error is None and not self.has_sounded:
            error = EngineError("s2s", "it hung up without a word")
        self._end(error)

    # ---- patience ----------------------------------------------------------------------------------------------

    def _owe(self, since_ms: int) -> None:
        self._owed_since_ms = self._quiet_since_ms = since_ms

    def _wait(self) -> None:
        """The callee waits for another 20 ms."""
        if self._owed_since_ms is None or self._patience_ms is None:
            return
        now_ms = self._host.now_ms()
        if self._host.is_muted():
            self._owe(now_ms)
        elif now_ms - self._owed_since_ms >= self._patience_ms:
            self._end(TimeoutError(f"no answer within {self._patience_ms} ms"))
        elif now_ms - self._quiet_since_ms >= self._filler_after_ms and (filler := self._host.filler()):
            self._leg.play(filler)
            self._quiet_since_ms = now_ms + len(filler) // BYTES_PER_MS

    def _sounded(self, ms: int, gap_ms: int) -> None:
        if self._owed_since_ms is None and 0 < gap_ms < GAP_MS:
            self._gaps_ms += gap_ms
        self._gaps_ms = max(0, self._gaps_ms - ms)
        self._owed_since_ms = None
        self.unanswered.clear()
        self.has_sounded = True
        self._sounded_at_ms = self._host.now_ms()
        self._plays_until_ms = self._sounded_at_ms + self._leg.queued_ms
        if self._patience_ms is not None and self._gaps_ms >= self._patience_ms:
            self._end(TimeoutError("its speech has more gaps than sound"))

    def _end(self, error: EngineError | TimeoutError | None) -> None:
        if not self.is_live:
            return
        self.is_live, self.error = False, error
        self._bot.abandon()
        self._host.bot_left()


def _ms(time: timedelta) -> int:
    return time // timedelta(milliseconds=1)
