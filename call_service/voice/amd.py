"""Is it a machine? Runs beside the conversation, never before it: people do not wait for a verdict.

Two witnesses: what was recognised early in the call, and the beep, a tone so pure that no voice produces it.
"""

import re

import numpy as np

from call_service.carriers.port import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE

STRONG = re.compile(
    r"(after|at|wait for) the (tone|beep|signal)|answering machine|(reached|forwarded to) an automated"
    r"|\b(i|we)\b.{0,8} (unable to|can(no|')?t) (come|get) to the phone"
)
# People speak of these as well: of one they got or will leave.
MAILBOX = re.compile(r"(leave|record)\b.{0,25}\bmessage|voice ?mail|mailbox")
TALKED_OF = re.compile(
    r"\b(got|heard|received|left|saw|missed|listened to)\b.{0,20}\b(voice ?mail|message)|\b(your|my) voice ?mail"
    r"|\b(will|'ll|to|can|could|should|not) (leave|record)\b"
)
_SENTENCE = re.compile(r"[^.!?]+[.!?]*")
WEAK = re.compile(
    r"not available|(can(no|')?t|unable to) (take|answer) your call|you('ve| have) reached|(get|call) (back to )?you"
    r"|as soon as|when you ('re|are|have) (done|finished)|hang up"
)
WEAK_ENOUGH = 3

BEEP_HZ = (350, 2500)
BEEP_LEVEL = 0.01  # root mean square of full scale: -40 dBFS
BEEP_PURITY = 0.9
MIN_BEEP_MS = 160
LEVEL_SWING = 1.6
WINDOW_POWER = 0.375  # what a Hann window leaves of a signal's power
BIN_HZ = SAMPLE_RATE / FRAME_SAMPLES


def sounds_like_voicemail(text: str) -> bool:
    """Is this the greeting of an answering machine? One sure phrase is enough, or three that people also use.

    "Would you like to leave a message?" and "I got your voicemail" are people.
    """
    lowered = text.lower().replace("\u2019", "'")
    told = [part for part in _SENTENCE.findall(lowered) if not part.endswith("?")]
    is_sure = any(STRONG.search(part) or (MAILBOX.search(part) and not TALKED_OF.search(part)) for part in told)
    return is_sure or len({match[0] for match in WEAK.finditer(lowered)}) >= WEAK_ENOUGH


class BeepDetector:
    """Finds the record tone: one frequency that holds nearly all energy, and its level, for at least 160 ms.

    The level tells it from ringback and busy tones: two frequencies that a frame of 20 ms cannot part, but that beat.
    """

    def __init__(self) -> None:
        self._window = np.hanning(FRAME_SAMPLES).astype(np.float32) / 32768
        self._bin = 0
        self._power = 0.0
        self._tone_ms = 0

    def feed(self, frame: bytes) -> bool:
        """True at the frame in which a beep ended: the machine records from here."""
        peak, power = self._tone(frame)
        if peak and abs(peak - self._bin) <= 1 and self._power / LEVEL_SWING <= power <= self._power * LEVEL_SWING:
            self._tone_ms += FRAME_MS
            return False
        ended = self._tone_ms >= MIN_BEEP_MS
        self._bin, self._power, self._tone_ms = peak, power, FRAME_MS if peak else 0
        return ended

    def _tone(self, frame: bytes) -> tuple[int, float]:
        """The FFT bin (50 Hz wide) of a pure tone and the frame's power; bin 0 when there is none."""
        samples = np.frombuffer(frame, "<i2") * self._window
        level = float(np.dot(samples, samples))
        if level < BEEP_LEVEL**2 * FRAME_SAMPLES * WINDOW_POWER:
            return 0, 0.0
        power = np.abs(np.fft.rfft(samples)) ** 2
        peak = int(power.argmax())
        is_pure = float(power[peak - 2 : peak + 3].sum()) >= BEEP_PURITY * float(power.sum())
        return (peak if is_pure and BEEP_HZ[0] <= peak * BIN_HZ <= BEEP_HZ[1] else 0), level
