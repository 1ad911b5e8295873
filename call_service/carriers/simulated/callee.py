"""The person or machine at the other end: performs a script, then converses."""

from collections.abc import Callable

import structlog

from call_service.carriers.port import FRAME_MS
from call_service.carriers.scripts import Conversation, Script, Turn, matches
from call_service.carriers.simulated.handset import Handset
from call_service.carriers.simulated.line import Line
from call_service.carriers.simulated.replies import Dialogue
from call_service.carriers.simulated.sound import Noise, tone
from call_service.carriers.simulated.speaker import Speaker
from call_service.voice.ports import EngineError, Recognizer

log = structlog.get_logger()

BEEP_HZ = 1_000
DIGIT_MS = 200
# Sentences of synthesised speech lie up to 700 ms apart: an answer after every pause would interrupt the agent.
MORE_TO_COME_MS = 800
MS_PER_WORD = 350  # of synthesised speech, pauses included
FAREWELL_MS = 5_000
PARTING_MS = 800


class _PatienceLostError(Exception):
    """The agent said nothing for too long."""


class Callee:
    """One callee in one call; hears and speaks through `handset`."""

    def __init__(
        self,
        script: Script,
        conversation: Conversation | None,
        *,
        speaker: Speaker,
        recognizer: Recognizer | None,
        noise: Noise,
        press: Callable[[str], None],
    ) -> None:
        self.handset = Handset(Line(noise.random))
        self.said: list[tuple[str, int]] = []  # and when it was over
        self._script = script
        self._conversation = conversation
        self._speaker = speaker
        self._recognizer = recognizer
        self._noise = noise
        self._press = press

    async def live(self) -> None:
        """Everything from the ringing on; returns when the callee hangs up.

        Raises:
            EngineError: stage `tts`.
        """
        # While the telephone rings, so that pauses within the script are what it says.
        lines = [await self._speaker.speak(turn.say) for turn in self._script.turns]
        await self.handset.wait(1)  # the first tick comes with the answer
        try:
            for turn, line in zip(self._script.turns, lines, strict=True):
                await self._begin(turn)
                await self._perform(turn, line)
                if turn.hang_up:
                    return
            await self._go_on()
        except _PatienceLostError:
            return

    async def _begin(self, turn: Turn) -> None:
        ear = self.handset.ear
        if turn.wait_for is not None:
            await self._hear(turn.wait_for)
        elif turn.interrupt_after_ms is not None:
            after_ms = max(turn.interrupt_after_ms, FRAME_MS)
            await self._until_agent(lambda: ear.agent_speaking_ms >= after_ms)
        elif turn.interrupt_after_words is not None:
            spoken_ms = turn.interrupt_after_words * MS_PER_WORD
            await self._until_agent(lambda: ear.agent_speaking_ms >= spoken_ms)
        await self.handset.wait(turn.after_ms)

    async def _perform(self, turn: Turn, line: bytes) -> None:
        if turn.noise_db is not None:
            self.handset.line.noise = self._noise.frames(turn.noise_db)
        if turn.packet_loss_percent is not None:
            self.handset.line.packet_loss_percent = turn.packet_loss_percent
        await self._say(turn.say, line)
        for digit in turn.dtmf or "":
            self._press(digit)
            await self.handset.wait(DIGIT_MS)
        await self.handset.play(tone(BEEP_HZ, turn.beep_ms))
        await self.handset.record(turn.record_ms)
        await self.handset.wait(turn.silence_ms)

    async def _say(self, text: str | None, line: bytes) -> None:
        await self.handset.play(line)
        if text:
            self.said.append((text, self.handset.now_ms))

    async def _go_on(self) -> None:
        if self._conversation is None:
            while True:
                await self._next_utterance()
        said = [turn.say for turn in self._script.turns if turn.say]
        dialogue = Dialogue(self._conversation, said[-1] if said else "")
        while True:
            reply = dialogue.answer(await self._listen())
            await self._say(reply.say, await self._speaker.speak(reply.say))
            if reply.hang_up:
                return await self._part(FAREWELL_MS if reply.say else 0)

    async def _part(self, farewell_ms: int) -> None:
        ear, waited_ms = self.handset.ear, self.handset.stopwatch()

        def has_agent_parted() -> bool:
            return not ear.agent_speaking_ms and (bool(ear.utterances) or waited_ms() >= farewell_ms)

        await self.handset.until(has_agent_parted)
        await self.handset.wait(PARTING_MS)

    async def _hear(self, pattern: str) -> None:
        while True:
            # Recognition costs more than all the rest of a call: not where any words will do.
            heard = await self._listen(understands=bool(pattern))
            if heard is None or matches(pattern, heard):
                return

    async def _listen(self, *, understands: bool = True) -> str | None:
        """All that the agent says until it asked a question or leaves a gap; None where nothing was recognised."""
        heard = ""
        while True:
            utterance = await self._next_utterance()
            if understands:
                heard = f"{heard} {await self._understand(utterance)}".strip()
            if not await self._goes_on(0 if heard.endswith("?") else MORE_TO_COME_MS):
                return heard if understands and self._recognizer else None

    async def _goes_on(self, within_ms: int) -> bool:
        ear, waited_ms = self.handset.ear, self.handset.stopwatch()

        def speaks() -> bool:
            return bool(ear.utterances or ear.agent_speaking_ms)

        await self.handset.until(lambda: speaks() or waited_ms() >= within_ms)
        return speaks()

    async def _next_utterance(self) -> bytes:
        utterances = self.handset.ear.utterances
        await self._until_agent(lambda: bool(utterances))
        return utterances.popleft()

    async def _until_agent(self, condition: Callable[[], bool]) -> None:
        """Wait for something that the agent does, no longer than patience lasts.

        Raises:
            _PatienceLostError: it said nothing.
        """
        ear, patience_ms = self.handset.ear, self._script.patience_ms
        waited_ms = self.handset.stopwatch()

        def is_out_of_patience() -> bool:
            return patience_ms is not None and min(waited_ms(), ear.agent_silent_ms) >= patience_ms

        await self.handset.until(lambda: condition() or is_out_of_patience())
        if not condition():
            raise _PatienceLostError

    async def _understand(self, utterance: bytes) -> str:
        if self._recognizer is None:
            return ""
        try:
            return await self._recognizer.recognize(utterance)
        except EngineError as error:
            log.warning("simulated.callee_did_not_understand", stage=error.stage)
            return ""
