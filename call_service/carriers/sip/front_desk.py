"""Who may talk to us outside of calls: the trunks, by address or digest. Everybody else hears nothing at all."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog

from call_service.carriers.numbers import e164_of
from call_service.carriers.sip.agent import ABOUT_US, ALLOW, UserAgent, unsupported_by_us
from call_service.carriers.sip.digest import Challenger
from call_service.carriers.sip.flow import Address, Flow
from call_service.carriers.sip.line import TrunkLine
from call_service.carriers.sip.message import Headers, Request, respond
from call_service.carriers.sip.server_transactions import InviteServer
from call_service.carriers.sip.syntax import user_of

log = structlog.get_logger()

K = TypeVar("K")
V = TypeVar("V")

MAX_PEERS = 1_000
# Wrong passwords from one address before it is ignored until the others pushed it out of the list.
MAX_FAILURES = 20


class FrontDesk:
    """Gives INVITEs of trunks to `on_invite`. `ignored` counts what got no answer."""

    def __init__(
        self,
        agent: UserAgent,
        challenger: Challenger,
        lines: Callable[[], Iterable[TrunkLine]],
        on_invite: Callable[[TrunkLine, InviteServer], None],
    ) -> None:
        self.ignored = 0
        self._agent = agent
        self._challenger = challenger
        self._lines = lines
        self._on_invite = on_invite
        self._proven: OrderedDict[Address, None] = OrderedDict()
        self._failures: OrderedDict[str, int] = OrderedDict()

    def may_connect(self, host: str) -> bool:
        """Whether a connection from `host` is worth keeping."""
        return any(line.trunk.inbound == "digest" or line.owns(host) for line in self._lines())

    def is_known(self, flow: Flow) -> bool:
        """A trunk's address, or one that has proven itself lately."""
        return flow.peer in self._proven or any(line.owns(flow.peer.host) for line in self._lines())

    def receive(self, request: Request, flow: Flow) -> None:
        """A request that belongs to no call."""
        line = self._line_of(request, flow)
        if line is None:
            self.ignored += 1
        elif request.method == "INVITE":
            self._invite(line, request, flow)
        elif request.method == "OPTIONS":
            self._answer(request, flow, 200, (*ABOUT_US, ("Accept", "application/sdp")))
        else:
            self._answer(request, flow, 405, (ALLOW,))

    def _line_of(self, request: Request, flow: Flow) -> TrunkLine | None:
        """The trunk a request is from; the one with the called number where several share an address."""
        called = user_of(request.uri)
        names = {called, e164_of(called)}
        owning = [line for line in self._lines() if line.trunk.inbound == "address" and line.owns(flow.peer.host)]
        if owning:
            return next((line for line in owning if not names.isdisjoint(line.trunk.caller_ids)), owning[0])
        username = self._challenger.username(request)
        claimed = username if username is not None else user_of(request.from_.uri)
        for line in self._lines():
            if line.trunk.inbound == "digest" and line.trunk.username == claimed:
                return line if self._has_proven(line, request, flow) else None
        return None

    def _has_proven(self, line: TrunkLine, request: Request, flow: Flow) -> bool:
        if self._failures.get(flow.peer.host, 0) >= MAX_FAILURES:
            return False
        algorithm = line.trunk.inbound_algorithm
        if self._challenger.accepts(request, line.trunk.password.get_secret_value(), algorithm):
            _remember(self._proven, flow.peer, None)
            self._failures.pop(flow.peer.host, None)
            return True
        if request.get("Authorization"):
            _remember(self._failures, flow.peer.host, self._failures.get(flow.peer.host, 0) + 1)
            log.warning("sip.wrong_digest", trunk=line.trunk.name)
        self._answer(request, flow, 401, self._challenger.challenge(algorithm))
        return False

    def _invite(self, line: TrunkLine, request: Request, flow: Flow) -> None:
        if unsupported := unsupported_by_us(request):
            self._answer(request, flow, 420, unsupported)
        elif self._agent.transactions.is_merged(request):
            # The same INVITE by another way (8.2.2.2).
            self._answer(request, flow, 482, ())
        elif line.is_full:
            self._answer(request, flow, 503, (("Retry-After", "10"),))
        else:
            transaction = self._agent.transactions.serve(request, flow)
            if isinstance(transaction, InviteServer):
                self._on_invite(line, transaction)

    def _answer(self, request: Request, flow: Flow, status: int, headers: Headers) -> None:
        if transaction := self._agent.transactions.serve(request, flow):
            transaction.respond(respond(request, status, tag=self._agent.token(), headers=headers))


def _remember(known: OrderedDict[K, V], key: K, value: V) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > MAX_PEERS:
        known.popitem(last=False)
