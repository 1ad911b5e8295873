"""Who may talk to us outside of calls: the trunks, by address or digest. Everybody else hears nothing at all."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from call_service.carriers.numbers import e164_of
from call_service.carriers.port import RefusedCall
from call_service.carriers.sip.agent import ABOUT_US, ALLOW, UserAgent, unsupported_by_us
from call_service.carriers.sip.digest import Challenger
from call_service.carriers.sip.flow import Address, Flow
from call_service.carriers.sip.incoming import called, caller
from call_service.carriers.sip.line import TrunkLine
from call_service.carriers.sip.message import Headers, Request, Response, respond
from call_service.carriers.sip.roster import Roster
from call_service.carriers.sip.server_transactions import InviteServer
from call_service.carriers.sip.syntax import user_of
from call_service.signalling.ladder import Ladder

log = structlog.get_logger()

# A wrong password, or an answer to a challenge that is too old: then the next one is right.
DIGEST_REFUSED = "digest_refused"

K = TypeVar("K")
V = TypeVar("V")

MAX_PEERS = 1_000
# After so many wrong passwords an address is ignored, until it was quiet for a while.
MAX_FAILURES = 20
FORGIVEN_SECONDS = 300.0


class FrontDesk:
    """Gives INVITEs of the trunks in `roster` to `on_invite`. `ignored` counts what got no answer.

    `on_refusal` is told of those that are refused here.
    """

    def __init__(
        self,
        agent: UserAgent,
        challenger: Challenger,
        roster: Roster,
        on_invite: Callable[[Sequence[TrunkLine], InviteServer], None],
    ) -> None:
        self.ignored = 0
        self.on_refusal: Callable[[RefusedCall], None] = lambda _refused: None
        self._agent = agent
        self._challenger = challenger
        self._roster = roster
        self._on_invite = on_invite
        self._proven: OrderedDict[Address, None] = OrderedDict()
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()  # how many, and when the last was

    def may_connect(self, host: str) -> bool:
        """Whether a connection from `host` is worth keeping."""
        return self._roster.has_digest or bool(self._roster.at(host))

    def is_known(self, flow: Flow) -> bool:
        """A trunk's address, or one that has proven itself lately."""
        return flow.peer in self._proven or bool(self._roster.at(flow.peer.host))

    def receive(self, request: Request, flow: Flow) -> None:
        """A request that belongs to no call."""
        lines = self._lines_of(request, flow)
        if not lines:
            self.ignored += 1
        elif request.method == "INVITE":
            self._invite(lines, request, flow)
        elif request.method == "OPTIONS":
            self._answer(request, flow, 200, (*ABOUT_US, ("Accept", "application/sdp")))
        else:
            self._answer(request, flow, 405, (ALLOW,))

    def challenge(self, line: TrunkLine) -> Headers:
        """What a 401 asks of who says to be this trunk."""
        return self._challenger.challenge(line.trunk.inbound_algorithm)

    def _lines_of(self, request: Request, flow: Flow) -> list[TrunkLine]:
        """The trunks a request may be from, those with the called number first; none for who gets no answer yet.

        Anybody may say that an address is hers, and providers have the same one for all: an address proves nothing
        about which of its trunks it is. Where there is more than one, the owner of the called number decides.
        """
        named = self._roster.by_username(self._challenger.username(request))
        if named and self._has_proven(named, request, flow):
            return [named]
        found = [line for line in self._roster.at(flow.peer.host) if line.trunk.inbound == "address"]
        claimed = named or self._roster.by_username(user_of(request.from_.uri))
        if claimed and found:
            found.append(claimed)
        elif claimed and not self._is_ignored(flow.peer.host):
            response = self._answer(request, flow, 401, self.challenge(claimed))
            if named:
                self._tell([named], request, flow, response, DIGEST_REFUSED)
        user = user_of(request.uri)
        names = {user, e164_of(user)}
        return sorted(found, key=lambda line: names.isdisjoint(line.trunk.caller_ids))

    def _has_proven(self, line: TrunkLine, request: Request, flow: Flow) -> bool:
        if self._is_ignored(flow.peer.host):
            return False
        password = line.trunk.password.get_secret_value()
        if self._challenger.accepts(request, password, line.trunk.inbound_algorithm):
            _remember(self._proven, flow.peer, None)
            self._failures.pop(flow.peer.host, None)
            return True
        failures = self._failures.get(flow.peer.host, (0, 0.0))[0] + 1
        _remember(self._failures, flow.peer.host, (failures, self._agent.timers.now()))
        log.warning("sip.wrong_digest", trunk=line.trunk.name)
        return False

    def _is_ignored(self, host: str) -> bool:
        failures, at = self._failures.get(host, (0, 0.0))
        if failures and self._agent.timers.now() - at > FORGIVEN_SECONDS:
            del self._failures[host]
            return False
        return failures >= MAX_FAILURES

    def _invite(self, lines: Sequence[TrunkLine], request: Request, flow: Flow) -> None:
        if unsupported := unsupported_by_us(request):
            self._tell(lines, request, flow, self._answer(request, flow, 420, unsupported), "unsupported_extension")
        elif self._agent.transactions.is_merged(request):
            # The same INVITE by another way (8.2.2.2).
            self._answer(request, flow, 482, ())
        else:
            transaction = self._agent.transactions.serve(request, flow)
            if isinstance(transaction, InviteServer):
                self._on_invite(lines, transaction)

    def _answer(self, request: Request, flow: Flow, status: int, headers: Headers) -> Response | None:
        """What was sent, if there was room for the transaction."""
        transaction = self._agent.transactions.serve(request, flow)
        if transaction is None:
            return None
        response = respond(request, status, tag=self._agent.token(), headers=headers)
        transaction.respond(response)
        return response

    def _tell(
        self, lines: Sequence[TrunkLine], request: Request, flow: Flow, response: Response | None, reason: str
    ) -> None:
        if response is None or request.method != "INVITE":
            return
        ladder, trunks = Ladder(), [line.trunk.name for line in lines]
        self._agent.record(ladder, request, flow)
        self._agent.record(ladder, response, flow, is_sent=True)
        self.on_refusal(RefusedCall(trunks, caller(request), called(request), response.status, reason, ladder))


def _remember(known: OrderedDict[K, V], key: K, value: V) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > MAX_PEERS:
        known.popitem(last=False)
