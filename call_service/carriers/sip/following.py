"""A peer refers us to somebody else: the leg goes on with the other party, on the same media (RFC 3515)."""

from urllib.parse import unquote

from call_service.carriers.port import Cause, Ended
from call_service.carriers.sip.dialog import Dialog
from call_service.carriers.sip.leg import SipLeg
from call_service.carriers.sip.media import Negotiator
from call_service.carriers.sip.message import Headers
from call_service.carriers.sip.refer import Referral
from call_service.carriers.sip.session import Session
from call_service.carriers.sip.syntax import SipUri

REPLACES = "replaces="


def referred_call(target: str) -> tuple[str, Headers]:
    """The URI to call, and the Replaces header (RFC 3891) of an attended transfer; other embedded headers are dropped.

    Raises:
        SipSyntaxError: `target` is no SIP URI.
    """
    uri = SipUri.parse(target)
    embedded = (part for part in uri.headers.split("&") if part.lower().startswith(REPLACES))
    headers = tuple(("Replaces", unquote(part[len(REPLACES) :])) for part in embedded)
    return target.partition("?")[0], headers[:1]


class Follower:
    """Observes the call to the other party, reports to who referred us, and moves the leg over."""

    def __init__(self, leg: SipLeg, negotiator: Negotiator, referral: Referral) -> None:
        self._leg = leg
        self._before = leg.session
        self._negotiator = negotiator
        self._referral = referral

    def rings(self) -> None:
        self._referral.report(180)

    def answered(self, dialog: Dialog) -> Session:
        self._leg.pending = None
        session = self._leg.take_over(dialog, self._negotiator, is_caller=True)
        self._referral.report(200)
        if self._before:
            self._before.hang_up()
        return session

    def failed(self, status: int) -> None:
        self._leg.pending = None
        self._referral.report(status)
        if self._before and self._before.is_over:
            self._leg.end(Ended(Cause.CALLEE_HUNG_UP))
