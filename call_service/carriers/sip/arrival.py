"""Which trunk a call that comes in is from, and whether that trunk takes it."""

from collections.abc import Sequence

from call_service.carriers.sip.flow import Flow
from call_service.carriers.sip.front_desk import FrontDesk
from call_service.carriers.sip.line import TrunkLine
from call_service.carriers.sip.message import Headers

IN_THE_CLEAR: Headers = (("Warning", '399 talkstack "SRTP keys are taken over TLS only"'),)


class Arrival:
    """A call before its answer. It counts at `line`, the first of the trunks it may be from until one is chosen."""

    def __init__(self, lines: Sequence[TrunkLine], flow: Flow, desk: FrontDesk) -> None:
        self.line = lines[0]
        self.line.calls += 1
        self._lines = lines
        self._flow = flow
        self._desk = desk

    @property
    def trunks(self) -> tuple[str, ...]:
        """Their names, the likeliest first."""
        return tuple(line.trunk.name for line in self._lines)

    def choose(self, trunk: str) -> tuple[int, Headers] | None:
        """The call is from this one. What it is refused with, if it is: a SIP status and headers."""
        chosen = next(line for line in self._lines if line.trunk.name == trunk)
        self.leave()
        self.line = chosen
        chosen.calls += 1
        # With several candidates nobody was asked for a password yet.
        if chosen.trunk.inbound == "digest" and len(self._lines) > 1:
            return 401, self._desk.challenge(chosen)
        if chosen.trunk.srtp == "required" and self._flow.transport != "TLS":
            return 488, IN_THE_CLEAR
        return None

    def leave(self) -> None:
        """It is decided."""
        self.line.calls -= 1
