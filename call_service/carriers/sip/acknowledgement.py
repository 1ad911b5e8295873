"""A 2xx to an INVITE is repeated until its ACK comes, over every transport (RFC 3261, 13.3.1.4)."""

from collections.abc import Callable

from call_service.carriers.sip.server_transactions import InviteServer
from call_service.carriers.sip.timers import T1, T2, TRANSACTION_TIMEOUT, Timers, TimerSet


class Unacknowledged:
    """Repeats the answer of `transaction`; `give_up` is called when no ACK came for 32 s."""

    def __init__(self, timers: Timers, transaction: InviteServer, give_up: Callable[[], None]) -> None:
        self.cseq = transaction.request.cseq
        self._transaction = transaction
        self._give_up = give_up
        self._timers = TimerSet(timers)
        self._timers.set("give up", TRANSACTION_TIMEOUT, self._expire)
        self._again_in(T1)

    def stop(self) -> None:
        """The ACK came, or the call is over."""
        self._timers.clear()

    def _expire(self) -> None:
        self.stop()
        self._give_up()

    def _again_in(self, interval: float) -> None:
        self._timers.set("again", interval, lambda: self._again(interval))

    def _again(self, interval: float) -> None:
        self._transaction.repeat_success()
        self._again_in(min(interval * 2, T2))
