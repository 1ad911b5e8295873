"""Session timers (RFC 4028): a call whose peer vanished does not last for ever. Pure but for the timers."""

from collections.abc import Callable
from dataclasses import dataclass

from call_service.carriers.sip.message import Headers, Message, Request
from call_service.carriers.sip.syntax import SipSyntaxError, number, parse_params
from call_service.carriers.sip.timers import Timers, TimerSet

MIN_SECONDS = 90
DEFAULT_SECONDS = 1800
MAX_SECONDS = 2**31


class IntervalTooSmallError(Exception):
    """The peer wants more refreshing than we do (SIP 422)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """How long the session lasts without a refresh, and whether refreshing is our task."""

    seconds: int
    is_ours: bool

    def headers(self, *, as_client: bool) -> Headers:
        """For a refresh (as its client) or for the 2xx to one."""
        refresher = "uac" if self.is_ours == as_client else "uas"
        return (("Session-Expires", f"{self.seconds};refresher={refresher}"),)


def request_headers(seconds: int, min_se: int = MIN_SECONDS) -> Headers:
    """Of an INVITE: what we propose."""
    return (("Session-Expires", str(max(seconds, min_se))), ("Min-SE", str(min_se)))


def _stated(message: Message) -> tuple[int, str | None] | None:
    value = message.get("Session-Expires")
    if value is None:
        return None
    seconds, _, params = value.partition(";")
    try:
        return number(seconds, MAX_SECONDS), parse_params(params).get("refresher")
    except SipSyntaxError:
        return None


def min_se(message: Message) -> int:
    """The smallest interval the peer takes."""
    try:
        return number((message.get("Min-SE") or str(MIN_SECONDS)).partition(";")[0], MAX_SECONDS)
    except SipSyntaxError:
        return MIN_SECONDS


def as_client(response: Message) -> Interval | None:
    """From the 2xx to our INVITE or UPDATE; None: the session does not expire."""
    stated = _stated(response)
    return Interval(max(stated[0], MIN_SECONDS), stated[1] != "uas") if stated else None


def as_server(request: Request, seconds: int) -> Interval:
    """For the 2xx to an INVITE or UPDATE; we refresh unless the peer wants to.

    Raises:
        IntervalTooSmallError: answer 422 with our Min-SE.
    """
    stated = _stated(request)
    is_peer_able = "timer" in request.tokens("Supported") or "timer" in request.tokens("Require")
    if stated is None:
        return Interval(max(seconds, min_se(request)), is_ours=True)
    if stated[0] < MIN_SECONDS:
        raise IntervalTooSmallError
    return Interval(stated[0], is_ours=not (is_peer_able and stated[1] == "uac"))


class SessionTimer:
    """Calls `refresh` at half of the interval, or `expire` when the peer did not refresh in time (RFC 4028, 10)."""

    def __init__(self, timers: Timers, refresh: Callable[[], None], expire: Callable[[], None]) -> None:
        self._timers = TimerSet(timers)
        self._refresh = refresh
        self._expire = expire
        self.interval: Interval | None = None
        self._is_over = False

    def start(self, interval: Interval | None) -> None:
        """Begin anew: the session was just set up or refreshed."""
        self._timers.clear()
        self.interval = interval
        if interval is None or self._is_over:
            return
        if interval.is_ours:
            self._timers.set("refresh", interval.seconds / 2, self._refresh)
        self._timers.set("expire", interval.seconds - min(32, interval.seconds / 3), self._expire)

    def retry(self, seconds: float) -> None:
        """The refresh was refused for now."""
        if not self._is_over:
            self._timers.set("refresh", seconds, self._refresh)

    def stop(self) -> None:
        """The call is over: an answer to a refresh that still comes starts nothing."""
        self._is_over = True
        self._timers.clear()
