"""All transactions of a user agent, found by their keys (RFC 3261, 17.1.3 and 17.2.3)."""

from collections.abc import Callable
from dataclasses import dataclass

from call_service.carriers.sip.client_transactions import ClientTransaction, InviteClient, NonInviteClient
from call_service.carriers.sip.client_transactions import State as ClientState
from call_service.carriers.sip.flow import Address, Flow, is_behind_nat, is_reliable
from call_service.carriers.sip.message import Request, Response
from call_service.carriers.sip.server_transactions import InviteServer, ServerTransaction, State
from call_service.carriers.sip.syntax import Via
from call_service.carriers.sip.timers import Timers

MAGIC = "z9hG4bK"
DEFAULT_PORT = 5060
# 200 calls a second with a lingering INVITE, ACK and BYE each stay below it; a flood does not grow beyond.
MAX_SERVER_TRANSACTIONS = 50_000

Key = tuple[str, ...]
Send = Callable[[Request | Response, Flow], None]


@dataclass(slots=True)
class _Link:
    flow: Flow
    put: Send
    forget: Callable[[], None]
    is_reliable: bool

    def send(self, message: Request | Response) -> None:
        self.put(message, self.flow)

    def done(self) -> None:
        self.forget()


def server_key(request: Request, method: str) -> Key:
    """Of the transaction a request belongs to; `method` is INVITE for ACK and CANCEL."""
    via = request.via
    if via.branch.startswith(MAGIC):
        return (via.branch, via.host, str(via.port), method)
    return (request.call_id, request.from_.tag, str(request.cseq), str(via), method)


def _way_back(via: Via, flow: Flow) -> Flow:
    """To the source, at the port that Via states unless that asks for the source's (RFC 3261, 18.2.2; RFC 3581, 4)."""
    if "rport" in via.params or is_behind_nat(via.host, flow.peer):
        return flow
    return flow.towards(Address(flow.peer.host, via.port or DEFAULT_PORT))


def _identity(invite: Request) -> Key:
    return (invite.call_id, invite.from_.tag, str(invite.cseq))


class Transactions:
    """Starts and finds transactions. `send` puts a message on the wire; `token` makes unguessable branches."""

    def __init__(self, timers: Timers, send: Send, token: Callable[[], str]) -> None:
        self._timers = timers
        self._send = send
        self._token = token
        self._clients: dict[Key, tuple[ClientTransaction, Flow]] = {}
        self._servers: dict[Key, ServerTransaction] = {}
        self._invites: set[Key] = set()

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    def via(self, flow: Flow) -> Via:
        """Our hop for a new request over `flow`."""
        return Via(flow.transport, flow.local.host, flow.local.port, {"branch": MAGIC + self._token(), "rport": None})

    def request(
        self, request: Request, flow: Flow, on_response: Callable[[Response], None], *, is_hop_set: bool = False
    ) -> ClientTransaction:
        """Send `request`; `is_hop_set` for a CANCEL, which shares the Via of its INVITE."""
        if not is_hop_set:
            request = request.via_added(self.via(flow))
        key = (request.via.branch, request.method)
        link = _Link(flow, self._send, lambda: self._forget_client(key), is_reliable(flow))
        kind = InviteClient if request.method == "INVITE" else NonInviteClient
        transaction = kind(request, link, self._timers, on_response)
        self._clients[key] = transaction, flow
        transaction.start()
        if not flow.is_open:
            self._timers.after(0, lambda: transaction.fail(503))
        return transaction

    def _forget_client(self, key: Key) -> None:
        self._clients.pop(key, None)

    def receive_response(self, response: Response) -> None:
        """Give a response to the transaction it belongs to; others are dropped."""
        if found := self._clients.get((response.via.branch, response.cseq_method)):
            found[0].receive(response)

    def absorb(self, request: Request) -> bool:
        """Whether `request` belongs to a transaction that runs already, which then has dealt with it."""
        if request.method == "ACK":
            invite = self._servers.get(server_key(request, "INVITE"))
            is_of_failure = invite is not None and invite.state in {State.COMPLETED, State.CONFIRMED}
            if invite and is_of_failure:
                invite.acknowledged()
            return is_of_failure
        transaction = self._servers.get(server_key(request, request.method))
        if transaction:
            transaction.repeated()
        return transaction is not None

    def invite_of(self, cancel: Request) -> InviteServer | None:
        """The INVITE that a CANCEL means."""
        found = self._servers.get(server_key(cancel, "INVITE"))
        return found if isinstance(found, InviteServer) else None

    def serve(self, request: Request, flow: Flow) -> ServerTransaction | None:
        """Begin a server transaction; None when there are too many: the request is dropped."""
        if len(self._servers) >= MAX_SERVER_TRANSACTIONS:
            return None
        key = server_key(request, request.method)
        link = _Link(_way_back(request.via, flow), self._send, lambda: self._end(key, request), is_reliable(flow))
        if request.method != "INVITE":
            self._servers[key] = transaction = ServerTransaction(request, flow, link, self._timers)
            return transaction
        self._invites.add(_identity(request))
        self._servers[key] = invite = InviteServer(request, flow, link, self._timers)
        return invite

    def is_merged(self, invite: Request) -> bool:
        """Whether the same INVITE came by another way (RFC 3261, 8.2.2.2)."""
        return _identity(invite) in self._invites

    def _end(self, key: Key, request: Request) -> None:
        self._servers.pop(key, None)
        self._invites.discard(_identity(request))

    def flow_lost(self, flow: Flow) -> None:
        """A connection closed, or a UDP port is: what waits on it fails now.

        Over UDP, what has a provisional response goes on: somebody was there, and may come back.
        """
        for client, used in tuple(self._clients.values()):
            if used == flow and (is_reliable(flow) or client.state is ClientState.CALLING):
                client.fail(503)
        for server in tuple(self._servers.values()):
            if server.flow == flow and is_reliable(flow):
                server.fail()

    def close(self) -> None:
        """End all: nobody waits any more."""
        for client, _ in tuple(self._clients.values()):
            client.fail(503)
        for server in tuple(self._servers.values()):
            server.fail()
