"""The callee's voice."""

from call_service.carriers.simulated.replies import sentences
from call_service.carriers.simulated.sound import at_speech_level
from call_service.voice.ports import Synthesizer


class Speaker:
    """Speaks whole lines with a synthesizer that takes a sentence at a time."""

    def __init__(self, synthesizer: Synthesizer, voice_id: str) -> None:
        self._synthesizer = synthesizer
        self._voice_id = voice_id

    async def speak(self, line: str | None) -> bytes:
        """PCM of the line at the level of telephone speech; empty for no line.

        Raises:
            EngineError: stage `tts`.
        """
        spoken = [await self._synthesizer.synthesize(sentence, self._voice_id) for sentence in sentences(line or "")]
        # Without the silence after the last word, pauses are exactly what a script says.
        pcm = b"".join(spoken).rstrip(b"\0")
        return at_speech_level(pcm + b"\0" * (len(pcm) % 2))
