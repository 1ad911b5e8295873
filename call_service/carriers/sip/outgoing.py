"""A call we make, from its first INVITE to its answer: fail-over between hosts, early media, forks, cancelling."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

import structlog

from call_service.carriers.sip.agent import ABOUT_US, UserAgent
from call_service.carriers.sip.attempt import Attempt, invite
from call_service.carriers.sip.dialog import MAX_FORWARDS, Dialog
from call_service.carriers.sip.digest import Credentials
from call_service.carriers.sip.flow import Flow
from call_service.carriers.sip.media import Negotiator
from call_service.carriers.sip.message import Headers, NoResponse, Request, Response, respond
from call_service.carriers.sip.modification import SDP
from call_service.carriers.sip.resolver import Target
from call_service.carriers.sip.sdp import NotAcceptableError
from call_service.carriers.sip.server_transactions import ServerTransaction
from call_service.carriers.sip.session import Session
from call_service.carriers.sip.session_timer import DEFAULT_SECONDS, as_client, request_headers
from call_service.carriers.sip.syntax import NameAddr
from call_service.carriers.sip.transports import TransportError
from call_service.signalling.ladder import Ladder

log = structlog.get_logger()

# A host that has not even said 100 after four INVITEs (0, 0.5, 1.5, 3.5 s) is given up while there is another.
SILENT_SECONDS = 4.0
UNREACHABLE, NOT_ACCEPTABLE = 503, 488
FAIL_OVER = frozenset({408, UNREACHABLE})


@dataclass(frozen=True, slots=True)
class CallPlan:
    """Whom to call, as whom, and by which hosts."""

    call_id: str
    to: str  # URIs
    from_: str
    targets: tuple[Target, ...]
    credentials: Credentials | None
    ring_seconds: float
    headers: Headers = ()


class CallObserver(Protocol):
    """Who hears of the progress. Exactly one of `answered` and `failed` is told, and neither after a cancel."""

    def rings(self) -> None:
        """The callee is alerted (180)."""

    def answered(self, dialog: Dialog) -> Session:
        """The callee answered: make the session."""

    def failed(self, status: int) -> None:
        """It did not come about; 487 when it rang for too long."""


class OutgoingCall:
    """One call. `in_doubt` counts the hosts that may have got an INVITE without a word about it."""

    def __init__(
        self, agent: UserAgent, plan: CallPlan, negotiator: Negotiator, ladder: Ladder, observer: CallObserver
    ) -> None:
        self.in_doubt = 0
        self._accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._agent = agent
        self._plan = plan
        self._negotiator = negotiator
        self._ladder = ladder
        self._observer = observer
        self._from = NameAddr(plan.from_).tagged(agent.token())
        self._attempt: Attempt | None = None
        self._is_over = self._is_answered = False
        self._may_move_on = True
        self._cseq = 0
        self._offer = negotiator.offer()
        agent.register(plan.call_id, self._from.tag, self, ladder)
        self._ring_timer = agent.timers.after(plan.ring_seconds, self._ring_out)
        agent.spawn(self._run())

    @property
    def flow(self) -> Flow | None:
        return self._attempt.flow if self._attempt else None

    async def accepted(self, within: float) -> bool:
        """Whether any host answered anything in `within` seconds."""
        timer = self._agent.timers.after(within, lambda: self._settle_accepted(False))
        try:
            return await self._accepted
        finally:
            timer.cancel()

    def cancel(self) -> None:
        """Give it up; the observer hears nothing more."""
        if self._is_over:
            return
        self._finish()
        if self._attempt:
            self._attempt.cancel()

    def receive(self, request: Request, transaction: ServerTransaction) -> None:
        """Nothing can be changed before the answer (RFC 3311, 5.2)."""
        is_update = request.method == "UPDATE"
        headers: Headers = (("Retry-After", "2"),) if is_update else ()
        transaction.respond(respond(request, 500 if is_update else 481, headers=headers))

    def acknowledged(self, ack: Request) -> None:
        """We are the caller: it acknowledges nothing."""

    async def _run(self) -> None:
        try:
            status = await self._try_all()
        finally:
            if not self._is_answered:
                self._agent.forget(self._plan.call_id, self._from.tag)
        self._settle_accepted(False)
        if not self._is_over:
            self._finish()
            self._observer.failed(status)

    async def _try_all(self) -> int:
        status = UNREACHABLE
        for at, target in enumerate(self._plan.targets):
            status = await self._try(target, is_last=at + 1 == len(self._plan.targets))
            if self._is_over or status not in FAIL_OVER or not self._may_move_on:
                break
        return status

    async def _try(self, target: Target, *, is_last: bool) -> int:
        """The final status of one host."""
        try:
            flow = await self._agent.network.flow(target)
        except TransportError as error:
            log.info("sip.host_unreachable", transport=target.transport, cause=str(error))
            self._agent.resolver.avoid(target.address)
            return UNREACHABLE
        if self._is_over:
            return UNREACHABLE
        attempt, response = await invite(
            self._agent,
            lambda extra: self._invite(flow, extra),
            flow,
            self._plan.credentials,
            on_attempt=lambda attempt: self._begin(attempt, target, is_last=is_last),
            on_progress=self._progress,
        )
        return self._conclude(attempt, response, target)

    def _conclude(self, attempt: Attempt, response: Response, target: Target) -> int:
        if response.status in FAIL_OVER:
            self._agent.resolver.avoid(target.address)
        is_unanswered, was_heard = isinstance(response, NoResponse), attempt.heard.done()
        if is_unanswered and not was_heard and response.status == UNREACHABLE and target.transport == "UDP":
            self.in_doubt -= 1  # nobody listens there
        # Where it was heard of, the callee may still be alerted: another host would ring her a second time.
        is_refused = response.status == UNREACHABLE and not is_unanswered
        self._may_move_on &= is_refused or not was_heard
        if not response.is_success:
            return response.status
        if self._is_over or not self._has_agreed(response):
            attempt.decline(response)
            return NOT_ACCEPTABLE
        self._answered(attempt, response, target)
        return response.status

    def _begin(self, attempt: Attempt, target: Target, *, is_last: bool) -> None:
        self._attempt = attempt
        self.in_doubt += 1
        attempt.heard.add_done_callback(lambda _heard: self._has_heard(target))
        if self._is_over:
            attempt.cancel()
        elif not is_last:
            self._agent.timers.after(SILENT_SECONDS, attempt.give_up_if_silent)

    def _has_heard(self, target: Target) -> None:
        self.in_doubt -= 1
        self._agent.resolver.trust(target.address)
        self._settle_accepted(True)

    def _settle_accepted(self, accepted: bool) -> None:
        if not self._accepted.done():
            self._accepted.set_result(accepted)

    def _invite(self, flow: Flow, extra: Headers) -> Request:
        self._cseq += 1
        replaced = {name for name, _ in extra}
        expires = tuple(one for one in request_headers(DEFAULT_SECONDS) if one[0] not in replaced)
        headers: Headers = (
            MAX_FORWARDS,
            ("From", str(self._from)),
            ("To", f"<{self._plan.to}>"),
            ("Call-ID", self._plan.call_id),
            ("CSeq", f"{self._cseq} INVITE"),
            self._agent.contact(flow),
            *ABOUT_US,
            *expires,
            *self._plan.headers,
            *extra,
            SDP,
        )
        return Request("INVITE", self._plan.to, headers, self._offer)

    def _progress(self, response: Response) -> None:
        if self._is_over:
            return
        if response.body and response.status != 100:
            self._has_agreed(response)
        if response.status > 100:
            self._may_move_on = False
        if response.status == 180:
            self._observer.rings()

    def _has_agreed(self, response: Response) -> bool:
        """Take the answer to our offer. Most peers repeat in the 2xx what they said in a 183; some just confirm it."""
        if not response.body and self._negotiator.agreed:
            return True
        try:
            self._negotiator.take_answer(response.body)
        except NotAcceptableError:
            return False
        return True

    def _answered(self, attempt: Attempt, response: Response, target: Target) -> None:
        self._finish()
        self._is_answered = True
        dialog = Dialog.of_caller(attempt.request, response, attempt.flow, server_name=target.name)
        attempt.acknowledge(response, dialog)
        session = self._observer.answered(dialog)
        self._agent.register(self._plan.call_id, self._from.tag, session, self._ladder)
        session.modifications.begin(response, as_client(response))

    def _ring_out(self) -> None:
        if not self._is_over:
            self.cancel()
            self._observer.failed(487)

    def _finish(self) -> None:
        self._is_over = True
        self._ring_timer.cancel()
