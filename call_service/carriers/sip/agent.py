"""The core of the user agent: what comes in finds its transaction, its dialog or the front desk."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Protocol

import structlog

from call_service.carriers.sip.dialog import Dialog
from call_service.carriers.sip.digest import Credentials, answer
from call_service.carriers.sip.flow import Flow, is_behind_nat, is_reliable
from call_service.carriers.sip.message import Headers, Message, NoResponse, Request, Response, respond
from call_service.carriers.sip.parser import parse
from call_service.carriers.sip.resolver import Resolver, Target
from call_service.carriers.sip.server_transactions import ServerTransaction
from call_service.carriers.sip.syntax import SipSyntaxError, SipUri, uri_host
from call_service.carriers.sip.timers import Timers
from call_service.carriers.sip.transactions import Transactions
from call_service.carriers.sip.transports import TransportError
from call_service.signalling.ladder import Ladder
from shared.clock import Clock

log = structlog.get_logger()

NAME = "Talkstack"
CONTACT_USER = "talkstack"
ALLOW = ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, REFER, NOTIFY")
EXTENSIONS = frozenset({"timer"})
ABOUT_US: Headers = (ALLOW, ("Supported", ", ".join(EXTENSIONS)), ("User-Agent", NAME))
MAX_CHALLENGES = 3

DialogId = tuple[str, str]  # Call-ID and our tag


class DialogUser(Protocol):
    """A call: it hears the requests within its dialog."""

    @property
    def flow(self) -> Flow | None:
        """What its messages came or went by, once there are any."""

    def receive(self, request: Request, transaction: ServerTransaction) -> None:
        """A request other than ACK."""

    def acknowledged(self, ack: Request) -> None:
        """The ACK of a 2xx."""


class FrontDesk(Protocol):
    """Who deals with requests outside of dialogs."""

    def is_known(self, flow: Flow) -> bool:
        """Whether this peer gets an answer at all: scanners must not learn that somebody is here."""

    def receive(self, request: Request, flow: Flow) -> None:
        """A new request; no transaction was begun for it."""


class Network(Protocol):
    """What the agent needs of its sockets."""

    async def flow(self, target: Target) -> Flow:
        """A way to `target`, or `TransportError`."""


class UserAgent:
    """Sends and receives SIP. `desk` and `network` are set before the first message."""

    desk: FrontDesk
    network: Network

    def __init__(
        self, timers: Timers, resolver: Resolver, clock: Clock, token: Callable[[], str], random: Random
    ) -> None:
        self.timers = timers
        self.resolver = resolver
        self.token = token
        self.random = random
        self.transactions = Transactions(timers, self.send, token)
        self.malformed = 0
        self._clock = clock
        self._dialogs: dict[DialogId, DialogUser] = {}
        self._ladders: dict[str, dict[str, Ladder]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def dialogs(self) -> int:
        """How many calls are known."""
        return len(self._dialogs)

    def register(self, call_id: str, tag: str, user: DialogUser, ladder: Ladder) -> None:
        """Give requests of this dialog to `user`, and record the messages of the call."""
        self._dialogs[call_id, tag] = user
        self._ladders.setdefault(call_id, {})[tag] = ladder
        ladder.is_closed.clear()

    def forget(self, call_id: str, tag: str) -> None:
        """The call is over. Harmless when it is not known."""
        self._dialogs.pop((call_id, tag), None)
        ladders = self._ladders.get(call_id, {})
        if ladder := ladders.pop(tag, None):
            ladder.is_closed.set()
        if not ladders:
            self._ladders.pop(call_id, None)

    def record(self, ladder: Ladder, message: Message, flow: Flow, *, is_sent: bool = False) -> None:
        """Record a message of a call that is not known yet, or never will be."""
        ladder.add(self._clock.now(), flow, message.encode(), is_sent=is_sent)

    def contact(self, flow: Flow) -> tuple[str, str]:
        """Our Contact towards this peer."""
        transport = "" if flow.transport == "UDP" else f";transport={flow.transport.lower()}"
        return ("Contact", f"<sip:{CONTACT_USER}@{uri_host(flow.local.host)}:{flow.local.port}{transport}>")

    def send(self, message: Message, flow: Flow) -> None:
        """Put a message on the wire."""
        data = message.encode()
        for ladder in self._ladders.get(message.call_id, {}).values():
            ladder.add(self._clock.now(), flow, data, is_sent=True)
        flow.send(data)

    def received(self, data: bytes, flow: Flow) -> None:
        """A message came. Whatever it is, nothing is raised."""
        try:
            message = parse(data)
        except SipSyntaxError:
            self.malformed += 1
            return
        try:
            self._dispatch(data, message, flow)
        except Exception:
            log.exception("sip.message_failed")

    def lost(self, flow: Flow) -> None:
        """A connection closed, or nobody listens at that UDP port."""
        self.transactions.flow_lost(flow)

    def needs(self, flow: Flow) -> bool:
        """Whether a call lives on this flow: a peer that connects to us may accept no connection itself."""
        return any(user.flow == flow for user in self._dialogs.values())

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run `work` beside; a failure is logged."""
        task = asyncio.create_task(work, name="sip")
        self._tasks.add(task)
        task.add_done_callback(self._reap)

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("sip.task_failed", exc_info=error)

    async def settle(self, seconds: float) -> None:
        """Let what was spawned end, at most `seconds`, then stop it."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)
        left = tuple(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def pause(self, seconds: float) -> None:
        """Wait, by the agent's timers."""
        over = asyncio.Event()
        timer = self.timers.after(seconds, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()

    async def exchange(self, request: Request, flow: Flow) -> Response:
        """The final response to a request other than INVITE; 408 and 503 also stand for none."""
        done: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        def take(response: Response) -> None:
            if response.is_final and not done.done():
                done.set_result(response)

        self.transactions.request(request, flow, take)
        return await done

    async def authenticated(
        self, make: Callable[[Headers], Request], flow: Flow, credentials: Credentials | None
    ) -> Response:
        """As `exchange`, answering challenges; `make` builds the request anew with the given headers."""
        extra: Headers = ()
        for _ in range(MAX_CHALLENGES):
            request = make(extra)
            response = await self.exchange(request, flow)
            challenged = self.answer_challenge(request, response, credentials)
            if challenged is None:
                break
            extra = challenged
        return response

    def answer_challenge(self, request: Request, response: Response, credentials: Credentials | None) -> Headers | None:
        """The header to repeat `request` with; None when the response is no challenge we can answer."""
        if response.status not in {401, 407} or credentials is None:
            return None
        header = answer(request, response, credentials, self.token)
        if header is None:
            return None
        earlier = [old for old in request.headers if old[0].endswith("Authorization") and old[0] != header[0]]
        return (*earlier, header)

    async def in_dialog(
        self, dialog: Dialog, method: str, credentials: Credentials | None, headers: Headers = (), body: bytes = b""
    ) -> Response:
        """The final response to a request within `dialog`."""
        try:
            flow = await self.route(dialog)
        except TransportError:
            return NoResponse(dialog.request(method), 503)
        return await self.authenticated(
            lambda extra: dialog.request(method, (*headers, *extra), body), flow, credentials
        )

    async def route(self, dialog: Dialog) -> Flow:
        """The way for the dialog's next request.

        Raises:
            TransportError: there is none.
        """
        if direct := self.direct_route(dialog):
            return direct
        uri = dialog.next_hop
        transport = None if uri.params.get("transport") else dialog.flow.transport
        return await self.reach(await self.resolver.resolve(uri, transport, server_name=dialog.server_name))

    @staticmethod
    def direct_route(dialog: Dialog) -> Flow | None:
        """The dialog's own flow, when that leads to its next hop."""
        flow = dialog.flow
        return flow if flow.is_open and _is_for(flow, dialog.next_hop, has_routes=bool(dialog.routes)) else None

    async def reach(self, targets: list[Target]) -> Flow:
        """The first target that can be reached.

        Raises:
            TransportError: none can.
        """
        error = TransportError("the name does not resolve")
        for target in targets:
            try:
                return await self.network.flow(target)
            except TransportError as failure:
                self.resolver.avoid(target.address)
                error = failure
        raise error

    def _dispatch(self, data: bytes, message: Message, flow: Flow) -> None:
        for ladder in self._ladders.get(message.call_id, {}).values():
            ladder.add(self._clock.now(), flow, data, is_sent=False)
        if isinstance(message, Response):
            self.transactions.receive_response(message)
        elif isinstance(message, Request) and not self.transactions.absorb(message):
            self._receive_request(message.via_stamped(*flow.peer), flow)

    def _receive_request(self, request: Request, flow: Flow) -> None:
        user = self._dialogs.get((request.call_id, request.to.tag)) if request.to.tag else None
        if request.method == "ACK":
            if user:
                user.acknowledged(request)
        elif request.method == "CANCEL":
            self._cancel(request, flow)
        elif user:
            if transaction := self.transactions.serve(request, flow):
                user.receive(request, transaction)
        elif request.to.tag:
            self._refuse(request, flow, 481)
        else:
            self.desk.receive(request, flow)

    def _cancel(self, request: Request, flow: Flow) -> None:
        invite = self.transactions.invite_of(request)
        if invite is None:
            self._refuse(request, flow, 481)
            return
        if transaction := self.transactions.serve(request, flow):
            transaction.respond(respond(request, 200, tag=self.token()))
        if invite.on_cancel and not invite.is_answered:
            invite.on_cancel()

    def _refuse(self, request: Request, flow: Flow, status: int) -> None:
        if self.desk.is_known(flow) and (transaction := self.transactions.serve(request, flow)):
            transaction.respond(respond(request, status, tag=self.token()))


def unsupported_by_us(request: Request) -> Headers:
    """The header of a 420 when the request requires an extension we do not know; else nothing."""
    unknown = request.tokens("Require") - EXTENSIONS
    return (("Unsupported", ", ".join(sorted(unknown))),) if unknown else ()


def _is_for(flow: Flow, uri: SipUri, *, has_routes: bool) -> bool:
    """Whether a dialog's own flow leads to its next hop.

    A connection is used on: the address of a client's Contact accepts none (RFC 5626). So is the source of UDP packets
    when the Contact is a private address and the source is not: that peer is behind NAT.
    """
    stated = (uri.params.get("transport") or flow.transport).upper()
    if stated != flow.transport:
        return False
    if uri.host == flow.peer.host:
        return is_reliable(flow) or uri.port == flow.peer.port
    if has_routes:
        return False
    return is_reliable(flow) or is_behind_nat(uri.host, flow.peer)
