"""Server transactions: RFC 3261, 17.2, with the Accepted state of RFC 6026. Letters are the RFC's timers."""

from collections.abc import Callable
from enum import Enum, auto

from call_service.carriers.sip.client_transactions import Link
from call_service.carriers.sip.flow import Flow
from call_service.carriers.sip.message import Request, Response
from call_service.carriers.sip.timers import T1, T2, T4, TRANSACTION_TIMEOUT, Timers, TimerSet


class State(Enum):
    """Where a server transaction is."""

    PROCEEDING = auto()
    COMPLETED = auto()
    ACCEPTED = auto()
    CONFIRMED = auto()
    TERMINATED = auto()


# Longer than we let any call ring.
UNDECIDED_SECONDS = 200.0


class ServerTransaction:
    """Answers one request, and its repetitions with the same answer: timer J. One nobody answers is forgotten."""

    _patience = TRANSACTION_TIMEOUT

    def __init__(self, request: Request, flow: Flow, link: Link, timers: Timers) -> None:
        self.request = request
        self.flow = flow
        self.state = State.PROCEEDING
        self._link = link
        self._timers = TimerSet(timers)
        self._last: Response | None = None
        self._timers.set("forget", self._patience, self._terminate)

    @property
    def is_answered(self) -> bool:
        """Whether a final response was given."""
        return self.state is not State.PROCEEDING

    def respond(self, response: Response) -> None:
        """Give a response; ignored after a final one."""
        if self.is_answered:
            return
        self._last = response
        self._link.send(response)
        if response.is_final:
            self._complete(response)

    def repeated(self) -> None:
        """The request came again."""
        if self._last and self.state is not State.CONFIRMED:
            self._link.send(self._last)

    def acknowledged(self) -> None:
        """An ACK of this transaction came: nothing to it unless it is an INVITE."""

    def fail(self) -> None:
        """Its flow was lost."""
        self._terminate()

    def _complete(self, response: Response) -> None:  # noqa: ARG002 # that of an INVITE goes by the status
        self._linger(State.COMPLETED, 0 if self._link.is_reliable else TRANSACTION_TIMEOUT)

    def _linger(self, state: State, seconds: float) -> None:
        self.state = state
        self._timers.clear()
        if seconds:
            self._timers.set("linger", seconds, self._terminate)
        else:
            self._terminate()

    def _terminate(self) -> None:
        self.state = State.TERMINATED
        self._timers.clear()
        self._link.done()


class InviteServer(ServerTransaction):
    """17.2.1: timers G, H, I, L. Repeating a 2xx until its ACK is the user's (`repeat_success`)."""

    on_cancel: Callable[[], None] | None = None
    _patience = UNDECIDED_SECONDS

    def repeat_success(self) -> None:
        """Send the 2xx again (13.3.1.4)."""
        if self._last and self.state is State.ACCEPTED:
            self._link.send(self._last)

    def acknowledged(self) -> None:
        """The ACK of a failure; that of a 2xx belongs to the dialog."""
        if self.state is State.COMPLETED:
            self._linger(State.CONFIRMED, 0 if self._link.is_reliable else T4)

    def repeated(self) -> None:
        """In Accepted (RFC 6026, 7.1) the repetition is absorbed: the user repeats the 2xx."""
        if self.state is not State.ACCEPTED:
            super().repeated()

    def _complete(self, response: Response) -> None:
        if response.is_success:
            self._linger(State.ACCEPTED, TRANSACTION_TIMEOUT)
            return
        self._linger(State.COMPLETED, TRANSACTION_TIMEOUT)
        if not self._link.is_reliable:
            self._again_in(T1)

    def _again_in(self, interval: float) -> None:
        self._timers.set("again", interval, lambda: self._again(interval))

    def _again(self, interval: float) -> None:
        if self._last:
            self._link.send(self._last)
        self._again_in(min(interval * 2, T2))
