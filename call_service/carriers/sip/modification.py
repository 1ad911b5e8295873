"""Changes of a running session: re-INVITE and UPDATE of either side, hold, and the session timer they refresh."""

import asyncio
from collections.abc import Callable

from call_service.carriers.sip.acknowledgement import Unacknowledged
from call_service.carriers.sip.agent import ABOUT_US, UserAgent
from call_service.carriers.sip.attempt import Attempt, invite
from call_service.carriers.sip.dialog import Dialog
from call_service.carriers.sip.digest import Credentials
from call_service.carriers.sip.media import Negotiator
from call_service.carriers.sip.message import Header, Headers, Message, NoResponse, Request, Response, respond
from call_service.carriers.sip.sdp import NotAcceptableError
from call_service.carriers.sip.server_transactions import InviteServer, ServerTransaction
from call_service.carriers.sip.session_timer import (
    DEFAULT_SECONDS,
    MIN_SECONDS,
    Interval,
    IntervalTooSmallError,
    SessionTimer,
    as_client,
    as_server,
    request_headers,
)
from call_service.carriers.sip.transports import TransportError

SDP: Header = ("Content-Type", "application/sdp")
DEAD = frozenset({408, 481})  # RFC 4028, 10; whatever else a refresh is refused with may be over soon
UNKNOWN_METHOD = frozenset({405, 501})
MAX_GLARES = 5
BUSY_RETRY_SECONDS = 10.0


class Modifications:
    """The offers, answers and refreshes of one dialog. `on_dead` is called when the peer is gone."""

    def __init__(
        self,
        agent: UserAgent,
        dialog: Dialog,
        negotiator: Negotiator,
        credentials: Credentials | None,
        on_dead: Callable[[], None],
        *,
        is_caller: bool,
    ) -> None:
        self.negotiator = negotiator
        self._agent = agent
        self._dialog = dialog
        self._credentials = credentials
        self._on_dead = on_dead
        self._is_caller = is_caller
        self._timer = SessionTimer(agent.timers, lambda: agent.spawn(self._refresh()), on_dead)
        self._unacknowledged: Unacknowledged | None = None
        self._on_acknowledged: Callable[[], None] = _nothing
        self._awaits_answer = False
        self._own = asyncio.Lock()
        self._is_asking = False
        self._peer_updates = False

    def begin(self, message: Message, interval: Interval | None) -> None:
        """The dialog was set up: `message` is the peer's INVITE or its answer to ours."""
        self._peer_updates = "update" in message.tokens("Allow")
        self._timer.start(interval)

    def stop(self) -> None:
        """The call is over."""
        self._timer.stop()
        if self._unacknowledged:
            self._unacknowledged.stop()

    def receive(self, request: Request, transaction: ServerTransaction) -> None:
        """A re-INVITE or UPDATE of the peer (RFC 3261, 14.2; RFC 3311, 5.2)."""
        if self._is_asking:
            transaction.respond(respond(request, 491))
        elif self._unacknowledged:
            transaction.respond(respond(request, 500, headers=(("Retry-After", "2"),)))
        else:
            self._answer(request, transaction)

    def success(self, request: Request, interval: Interval, body: bytes) -> Response:
        """The 2xx to an INVITE or UPDATE of the peer."""
        headers: Headers = (self._agent.contact(self._dialog.flow), *ABOUT_US, *interval.headers(as_client=False))
        if not interval.is_ours:
            headers = (*headers, ("Require", "timer"))
        return respond(
            request, 200, tag=self._dialog.local.tag, headers=(*headers, *([SDP] if body else [])), body=body
        )

    def await_ack(self, transaction: InviteServer, on_acknowledged: Callable[[], None], *, with_answer: bool) -> None:
        """A 2xx was given to an INVITE; `with_answer` when the ACK must answer our offer."""
        self._awaits_answer = with_answer
        self._on_acknowledged = on_acknowledged
        self._unacknowledged = Unacknowledged(self._agent.timers, transaction, self._on_dead)

    def acknowledged(self, ack: Request) -> None:
        """The ACK of a 2xx."""
        if not self._unacknowledged or ack.cseq != self._unacknowledged.cseq:
            return
        self._unacknowledged.stop()
        self._unacknowledged = None
        try:
            if self._awaits_answer:
                self.negotiator.take_answer(ack.body)
        except NotAcceptableError:
            self._on_dead()
        else:
            self._on_acknowledged()

    async def hold(self, *, held: bool) -> Response:
        """Ask the peer to fall silent, or to talk again; the final response."""
        before = self.negotiator.is_holding
        self.negotiator.is_holding = held
        response = await self._reinvite()
        if not response.is_success:
            self.negotiator.is_holding = before
        return response

    def _answer(self, request: Request, transaction: ServerTransaction) -> None:
        seconds = self._timer.interval.seconds if self._timer.interval else DEFAULT_SECONDS
        try:
            interval = as_server(request, seconds)
            body = self.negotiator.answer(request.body) if request.body else self._offer(request)
        except IntervalTooSmallError:
            transaction.respond(respond(request, 422, headers=(("Min-SE", str(MIN_SECONDS)),)))
        except NotAcceptableError:
            transaction.respond(respond(request, 488))
        else:
            self._dialog.refresh_target(request)
            transaction.respond(self.success(request, interval, body))
            self._timer.start(interval)
            if isinstance(transaction, InviteServer):
                self.await_ack(transaction, _nothing, with_answer=not request.body)

    def _offer(self, request: Request) -> bytes:
        return self.negotiator.offer() if request.method == "INVITE" else b""

    async def _refresh(self) -> None:
        """At half of the session's interval (RFC 4028, 7.4): by UPDATE where the peer knows it."""
        response = await (self._update() if self._peer_updates else self._reinvite())
        if response.status in DEAD:
            self._on_dead()
        elif self._peer_updates and response.status in UNKNOWN_METHOD:
            self._peer_updates = False
            self._timer.retry(0)
        elif not response.is_success:
            self._timer.retry(BUSY_RETRY_SECONDS)

    async def _update(self) -> Response:
        async with self._own:
            response = await self._agent.in_dialog(self._dialog, "UPDATE", self._credentials, self._refresh_headers())
        if response.is_success:
            self._dialog.refresh_target(response)
            self._timer.start(as_client(response) or self._timer.interval)
        return response

    def _refresh_headers(self) -> Headers:
        interval = self._timer.interval
        expires = interval.headers(as_client=True) if interval else request_headers(DEFAULT_SECONDS)
        return (self._agent.contact(self._dialog.flow), *ABOUT_US, *expires)

    async def _reinvite(self) -> Response:
        async with self._own:
            for _ in range(MAX_GLARES):
                response = await self._reinvite_once()
                delay = self._glare_delay(response)
                if delay is None:
                    break
                await self._agent.pause(delay)
        if response.status in DEAD:
            self._on_dead()
        return response

    def _glare_delay(self, response: Response) -> float | None:
        """When to try again after both sides offered at once (14.1: who made the Call-ID waits longer)."""
        if response.status == 500 and response.get("Retry-After"):
            return BUSY_RETRY_SECONDS
        if response.status != 491:
            return None
        return self._agent.random.uniform(2.1, 4.0) if self._is_caller else self._agent.random.uniform(0.0, 2.0)

    async def _reinvite_once(self) -> Response:
        body = self.negotiator.offer()
        headers: Headers = (*self._refresh_headers(), SDP)
        try:
            flow = await self._agent.route(self._dialog)
        except TransportError:
            return NoResponse(self._dialog.request("INVITE"), 503)
        self._is_asking = True
        try:
            attempt, response = await invite(
                self._agent,
                lambda extra: self._dialog.request("INVITE", (*headers, *extra), body),
                flow,
                self._credentials,
                on_attempt=_ignore,
                on_progress=_ignore,
            )
        finally:
            self._is_asking = False
        if response.is_success:
            self._dialog.refresh_target(response)
            attempt.acknowledge(response, self._dialog)
            self._timer.start(as_client(response) or self._timer.interval)
            try:
                self.negotiator.take_answer(response.body)
            except NotAcceptableError:
                return NoResponse(attempt.request, 488)
        return response


def _nothing() -> None:
    pass


def _ignore(_of: Attempt | Response) -> None:
    pass
