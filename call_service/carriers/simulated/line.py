"""The line from a callee to the agent, which may be noisy and lose packets."""

from collections.abc import Iterator
from random import Random

from call_service.carriers import g711
from call_service.carriers.concealment import Concealer
from call_service.carriers.port import FRAME_SAMPLES


class Line:
    """Carries frames of 20 ms; what is lost is made up as on a real line (`carriers.concealment`)."""

    def __init__(self, random: Random) -> None:
        self.noise: Iterator[bytes] | None = None
        self.packet_loss_percent = 0.0
        self._random = random
        self._concealer: Concealer | None = None

    def carry(self, spoken: bytes) -> bytes:
        """What the agent hears of a frame."""
        sent = g711.mix(spoken, next(self.noise)) if self.noise else spoken
        if not self.packet_loss_percent and not self._concealer:
            return sent
        self._concealer = self._concealer or Concealer()
        if self._random.random() * 100 < self.packet_loss_percent:
            return self._concealer.missing(FRAME_SAMPLES)
        return self._concealer.real(sent)
