"""A call that comes in, from its INVITE to our answer."""

from collections.abc import Callable, Sequence
from typing import Protocol

from call_service.carriers.numbers import ANONYMOUS
from call_service.carriers.port import CallGoneError, CallRefusedError
from call_service.carriers.rtp import PortsExhaustedError
from call_service.carriers.sip.agent import ABOUT_US, CONTACT_USER, UserAgent
from call_service.carriers.sip.causes import ended_by
from call_service.carriers.sip.dialog import Dialog
from call_service.carriers.sip.flow import Flow
from call_service.carriers.sip.leg import SipLeg
from call_service.carriers.sip.message import Headers, Request, respond
from call_service.carriers.sip.sdp import NotAcceptableError
from call_service.carriers.sip.server_transactions import InviteServer, ServerTransaction
from call_service.carriers.sip.session_timer import DEFAULT_SECONDS, MIN_SECONDS, IntervalTooSmallError, as_server
from call_service.carriers.sip.syntax import NameAddr, SipSyntaxError, user_of
from call_service.signalling.ladder import Ladder

# Longer than any carrier lets ring; then nobody of ours decided.
MAX_RINGING_SECONDS = 180.0

Refusal = tuple[int, Headers]


class LegMaker(Protocol):
    """Makes the leg of a call that is answered."""

    def __call__(self, ladder: Ladder, *, ipv6: bool) -> SipLeg:
        """May raise `PortsExhaustedError`."""


class IncomingCall:
    """`from_` and `to` are the numbers as the trunk writes them.

    It came by one of `trunks`; `trunk` is the likeliest until `belongs_to` says which. `admit` tells what to refuse a
    call of that one with, None when it is welcome.
    """

    def __init__(
        self,
        agent: UserAgent,
        transaction: InviteServer,
        trunks: Sequence[str],
        make_leg: LegMaker,
        on_decided: Callable[["IncomingCall"], None],
        *,
        admit: Callable[[str], Refusal | None] = lambda _trunk: None,
    ) -> None:
        request = transaction.request
        self.trunks = trunks
        self.trunk = trunks[0]
        self.call_id = request.call_id
        self.from_ = caller(request)
        self.to = called(request)
        self.is_open = True
        self.ladder = Ladder()
        self._agent = agent
        self._transaction = transaction
        self._make_leg = make_leg
        self._on_decided = on_decided
        self._admit = admit
        self._on_cancel: Callable[[], None] | None = None
        self._tag = agent.token()
        self._contact = agent.contact(transaction.flow)
        self._leg: SipLeg | None = None
        self._timer = agent.timers.after(MAX_RINGING_SECONDS, lambda: self.reject(480))
        transaction.on_cancel = self._cancelled
        agent.register(self.call_id, self._tag, self, self.ladder)
        agent.record(self.ladder, request, transaction.flow)
        transaction.respond(respond(request, 100))

    @property
    def flow(self) -> Flow:
        return self._transaction.flow

    def on_cancel(self, listener: Callable[[], None]) -> None:
        """Tell when the caller gives up before the answer."""
        self._on_cancel = listener

    def belongs_to(self, trunk: str) -> None:
        """It came by this one of `trunks`.

        Raises:
            CallRefusedError: that trunk takes no more calls, or not such calls.
        """
        self.trunk = trunk
        if self.is_open and (refusal := self._admit(trunk)):
            self._respond(*refusal)
            self._decide()
            raise CallRefusedError(refusal[0])

    def ring(self) -> None:
        """Let the caller hear that we are alerted."""
        if self.is_open:
            self._respond(180, (self._contact,))

    def reject(self, sip_code: int) -> None:
        """Refuse with a status of 300 or more. Harmless when the call is decided."""
        if self.is_open:
            self._respond(sip_code, _explanation(sip_code))
            self._decide()

    def answer(self) -> SipLeg:
        """Pick up. The leg tells `Answered` once the caller knows.

        Raises:
            CallGoneError: too late.
            CallRefusedError: there was no common codec, no port, or too short a session interval.
        """
        if not self.is_open:
            raise CallGoneError
        try:
            return self._answer()
        except NotAcceptableError:
            status = 488
        except PortsExhaustedError:
            status = 503
        except IntervalTooSmallError:
            status = 422
        self.reject(status)
        if self._leg:
            self._leg.end(ended_by(status))
        raise CallRefusedError(status)

    def receive(self, request: Request, transaction: ServerTransaction) -> None:
        """The caller hangs up without a CANCEL (15.1.2); nothing else is possible before the answer."""
        if request.method == "BYE" and self.is_open:
            transaction.respond(respond(request, 200))
            self._cancelled()
        else:
            transaction.respond(respond(request, 481))

    def acknowledged(self, ack: Request) -> None:
        """There is nothing to acknowledge before the answer."""

    def _answer(self) -> SipLeg:
        request, flow = self._transaction.request, self._transaction.flow
        interval = as_server(request, DEFAULT_SECONDS)
        leg = self._leg = self._make_leg(self.ladder, ipv6=":" in flow.peer.host)
        body = leg.negotiator.answer(request.body) if request.body else leg.negotiator.offer()
        dialog = Dialog.of_callee(request, self._tag, flow, server_name=leg.trunk.host)
        session = leg.take_over(dialog, leg.negotiator, is_caller=False)
        self._agent.register(self.call_id, self._tag, session, leg.ladder)
        self._decide(keeps_dialog=True)
        modifications = session.modifications
        modifications.begin(request, interval)
        self._transaction.respond(modifications.success(request, interval, body))
        modifications.await_ack(self._transaction, leg.acknowledged, with_answer=not request.body)
        return leg

    def _respond(self, status: int, headers: Headers) -> None:
        request = self._transaction.request
        self._transaction.respond(respond(request, status, tag=self._tag, headers=(*headers, *ABOUT_US)))

    def _cancelled(self) -> None:
        if self.is_open:
            self._respond(487, ())
            self._decide()
            if self._on_cancel:
                self._on_cancel()

    def _decide(self, *, keeps_dialog: bool = False) -> None:
        self.is_open = False
        self._timer.cancel()
        if not keeps_dialog:
            self._agent.forget(self.call_id, self._tag)
        self._on_decided(self)


def caller(request: Request) -> str:
    """Whom the trunk vouches for (RFC 3325), else whom From names; nobody when the caller wants that (RFC 3323)."""
    wishes = {wish.strip().lower() for value in request.all("Privacy") for wish in value.replace(",", ";").split(";")}
    if wishes & {"id", "user"}:
        return ANONYMOUS
    try:
        asserted = [NameAddr.parse(value) for value in request.all("P-Asserted-Identity")]
    except SipSyntaxError:
        asserted = []
    return user_of((asserted or [request.from_])[0].uri)


def called(request: Request) -> str:
    """Whom the request goes to; a registrar sends to our Contact, and the number is in To."""
    user = user_of(request.uri)
    return user_of(request.to.uri) if user == CONTACT_USER else user


def _explanation(status: int) -> Headers:
    return {422: (("Min-SE", str(MIN_SECONDS)),), 503: (("Retry-After", "10"),)}.get(status, ())
