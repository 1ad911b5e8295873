"""Client transactions: RFC 3261, 17.1, with the Accepted state of RFC 6026. Letters are the RFC's timers."""

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from call_service.carriers.sip.message import NoResponse, Request, Response
from call_service.carriers.sip.timers import LINGER, T1, T2, T4, TRANSACTION_TIMEOUT, Timers, TimerSet


class State(Enum):
    """Where a client transaction is."""

    CALLING = auto()  # "Trying" for other methods than INVITE
    PROCEEDING = auto()
    COMPLETED = auto()
    ACCEPTED = auto()
    TERMINATED = auto()


class Link(Protocol):
    """What a transaction does to the world."""

    is_reliable: bool

    def send(self, message: Request | Response) -> None:
        """Put a message on the wire."""

    def done(self) -> None:
        """The transaction is over."""


class ClientTransaction:
    """What both kinds share. `on_response` gets each response once, a time-out as 408, a lost flow as 503."""

    def __init__(self, request: Request, link: Link, timers: Timers, on_response: Callable[[Response], None]) -> None:
        self.request = request
        self.state = State.CALLING
        self._link = link
        self._timers = TimerSet(timers)
        self._on_response = on_response

    def start(self) -> None:
        """Send the request; timers A or E, and B or F."""
        self._timers.set("give up", TRANSACTION_TIMEOUT, lambda: self.fail(408))
        self._link.send(self.request)
        if not self._link.is_reliable:
            self._again_in(T1)

    def receive(self, response: Response) -> None:
        """A response with our branch came."""
        raise NotImplementedError

    def fail(self, status: int) -> None:
        """Nothing more will come: tell the user, unless a final response was told already."""
        is_news = self.state in {State.CALLING, State.PROCEEDING}
        self._terminate()
        if is_news:
            self._on_response(NoResponse(self.request, status))

    def _longest_interval(self) -> float:
        raise NotImplementedError

    def _again_in(self, interval: float) -> None:
        self._timers.set("again", interval, lambda: self._again(interval))

    def _again(self, interval: float) -> None:
        self._link.send(self.request)
        self._again_in(min(interval * 2, self._longest_interval()))

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


class InviteClient(ClientTransaction):
    """17.1.1: timers A, B, D, M. Each 2xx is told, also repeated ones: their ACK is the user's."""

    def receive(self, response: Response) -> None:
        """Figure 5 of the RFC."""
        match self.state:
            case State.CALLING | State.PROCEEDING if not response.is_final:
                self.state = State.PROCEEDING
                self._timers.clear()
                self._on_response(response)
            case State.CALLING | State.PROCEEDING if response.is_success:
                self._linger(State.ACCEPTED, TRANSACTION_TIMEOUT)
                self._on_response(response)
            case State.CALLING | State.PROCEEDING:
                self._acknowledge(response)
                self._linger(State.COMPLETED, 0 if self._link.is_reliable else LINGER)
                self._on_response(response)
            case State.COMPLETED if response.status >= 300:
                self._acknowledge(response)
            case State.ACCEPTED if response.is_success:
                self._on_response(response)
            case _:
                pass

    def _acknowledge(self, response: Response) -> None:
        self._link.send(self.request.derived("ACK", str(response.to)))

    def _longest_interval(self) -> float:
        return TRANSACTION_TIMEOUT


class NonInviteClient(ClientTransaction):
    """17.1.2: timers E, F, K."""

    def receive(self, response: Response) -> None:
        """Figure 6 of the RFC."""
        if self.state not in {State.CALLING, State.PROCEEDING}:
            return
        if response.is_final:
            self._linger(State.COMPLETED, 0 if self._link.is_reliable else T4)
        else:
            self.state = State.PROCEEDING
        self._on_response(response)

    def _longest_interval(self) -> float:
        return T2
