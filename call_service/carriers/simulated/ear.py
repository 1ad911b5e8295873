"""How a callee notices that the agent speaks and when it has finished: by energy, for its line is clean."""

from collections import deque

from call_service.carriers import g711
from call_service.carriers.port import FRAME_MS

SPEECH_RMS_THRESHOLD = 200  # -44 dBov: 20 dB below speech, far above the noise of mu-law
END_OF_SPEECH_MS = 600
PAUSE_IN_SENTENCE_MS = 200
MIN_SPEECH_MS = 100
MAX_UTTERANCE_FRAMES = 30_000 // FRAME_MS
MAX_UNHEARD = 8


class Ear:
    """Cuts the agent's audio into utterances."""

    def __init__(self) -> None:
        self.utterances: deque[bytes] = deque(maxlen=MAX_UNHEARD)
        self.agent_silent_ms = 0
        self._frames: deque[bytes] = deque(maxlen=MAX_UTTERANCE_FRAMES)
        self._speech_ms = 0
        self._since_start_ms = 0

    @property
    def agent_speaking_ms(self) -> int:
        """How long ago the agent began the utterance it is in; 0 while it is silent."""
        return self._since_start_ms

    def feed(self, frame: bytes) -> None:
        """Hear 20 ms."""
        if g711.rms(frame) >= SPEECH_RMS_THRESHOLD:
            self._speech_ms += FRAME_MS
            self.agent_silent_ms = 0
        else:
            self.agent_silent_ms += FRAME_MS
        if self._speech_ms:
            self._frames.append(frame)
            self._since_start_ms += FRAME_MS
            if self.agent_silent_ms >= END_OF_SPEECH_MS:
                self._finish()

    def forget(self) -> None:
        """Drop what was heard, but for a sentence that is still going on."""
        if self.agent_silent_ms >= PAUSE_IN_SENTENCE_MS:
            self._finish()
        self.utterances.clear()

    def _finish(self) -> None:
        if self._speech_ms >= MIN_SPEECH_MS:
            self.utterances.append(b"".join(self._frames))
        self._frames.clear()
        self._speech_ms = self._since_start_ms = 0
