"""The `sip` carrier: calls over SIP trunks."""

import asyncio
import secrets
import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from functools import partial
from random import Random, SystemRandom

import structlog

from call_service.carriers.port import CarrierRejectedError, Cause, DialRequest, OutcomeUnknownError, RefusedCall
from call_service.carriers.port import IncomingCall as Invite
from call_service.carriers.rtp import PortsExhaustedError, RtpEngine
from call_service.carriers.sip.agent import CONTACT_USER, UserAgent
from call_service.carriers.sip.arrival import Arrival
from call_service.carriers.sip.diagnosis import Step, diagnose, trial_of
from call_service.carriers.sip.digest import Challenger
from call_service.carriers.sip.following import Follower, referred_call
from call_service.carriers.sip.front_desk import FrontDesk
from call_service.carriers.sip.incoming import IncomingCall
from call_service.carriers.sip.leg import CANCELLED, SipLeg
from call_service.carriers.sip.line import TrunkLine, TrunkState
from call_service.carriers.sip.media import MediaSession, Negotiator
from call_service.carriers.sip.outgoing import CallPlan, OutgoingCall
from call_service.carriers.sip.refer import Referral
from call_service.carriers.sip.resolver import DnsLookup, Lookup, Resolver
from call_service.carriers.sip.roster import Roster
from call_service.carriers.sip.server_transactions import InviteServer
from call_service.carriers.sip.syntax import SipSyntaxError, SipUri
from call_service.carriers.sip.timers import Timers
from call_service.carriers.sip.tls import ClientContexts
from call_service.carriers.sip.transports import Listener, Transports
from call_service.carriers.sip.trunk import Trunk
from call_service.signalling.ladder import Ladder
from shared.clock import Clock, SystemClock

log = structlog.get_logger()

MAX_REMEMBERED_CALLS = 10_000
MAX_UNDECIDED = 1_000
FIRST_ANSWER_SECONDS = 12.0
FOLLOW_SECONDS = 60.0
GOODBYE_SECONDS = 3.0
TOKEN_BYTES = 10
SECRET_BYTES = 32


class SipCarrier:
    """A `Carrier` over `trunks`. Calls that come in are given to `on_invite`; without it they are refused with 480.

    `rtp` carries the audio of IPv4 peers, `rtp_ipv6` that of others. Nothing is sent to an address that `may_reach`
    denies. `open` it before use.
    """

    name = "sip"

    def __init__(
        self,
        trunks: Iterable[Trunk],
        rtp: RtpEngine,
        listeners: tuple[Listener, ...],
        *,
        rtp_ipv6: RtpEngine | None = None,
        server_tls: ssl.SSLContext | None = None,
        on_invite: Callable[[IncomingCall], None] | None = None,
        timers: Timers | None = None,
        lookup: Lookup | None = None,
        may_reach: Callable[[str], bool] = lambda _address: True,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self.on_invite = on_invite
        self._rtp = rtp
        self._rtp_ipv6 = rtp_ipv6
        self._listeners = listeners
        self._random = random or SystemRandom()
        self._may_reach = may_reach
        timers = timers or Timers()
        resolver = Resolver(lookup or DnsLookup(), self._random, timers.now, may_reach)
        self._agent = UserAgent(timers, resolver, clock or SystemClock(), _token, self._random)
        challenger = Challenger(CONTACT_USER, secrets.token_bytes(SECRET_BYTES), time.time)
        self._roster = Roster()
        self._desk = self._agent.desk = FrontDesk(self._agent, challenger, self._roster, self._take_invite)
        self._contexts = ClientContexts()
        self._transports = self._agent.network = Transports(
            self._agent, client_tls=self._contexts, server_tls=server_tls, may_connect=self._desk.may_connect
        )
        self._first = tuple(trunks)
        self._legs: set[SipLeg] = set()
        self._incoming: set[IncomingCall] = set()
        self._dialled: deque[str] = deque(maxlen=MAX_REMEMBERED_CALLS)
        self._is_closing = False

    @property
    def states(self) -> dict[str, TrunkState]:
        """How each trunk does, by name."""
        return {line.trunk.name: line.state for line in self._roster}

    def address(self, transport: str, *, ipv6: bool = False) -> tuple[str, int] | None:
        """Where peers reach us by "UDP", "TCP" or "TLS"; None when nothing listens."""
        return self._transports.local(transport, ipv6=ipv6)

    async def open(self) -> None:
        """Open the sockets, look up and register the trunks.

        Raises:
            OSError: a port is taken, or an address is not ours.
        """
        await self._transports.open(self._listeners)
        await self.use(self._first)

    async def use(self, trunks: Iterable[Trunk]) -> None:
        """Replace the trunks. Unchanged ones go on; calls of those that are gone go on until they end.

        Where several have the same name the last one counts.
        """
        wanted = {trunk.name: trunk for trunk in trunks}
        gone = [line for line in self._roster if wanted.get(line.trunk.name) != line.trunk]
        staying = {line.trunk.name for line in self._roster}.difference(line.trunk.name for line in gone)
        new = [TrunkLine(self._agent, wanted[name], self._roster.moved) for name in wanted if name not in staying]
        await asyncio.to_thread(self._contexts.use, tuple(wanted.values()))
        await asyncio.gather(*(line.look_up() for line in new))
        for line in gone:
            self._roster.remove(line)
        for line in new:
            self._roster.add(line)
        # A registration that goes takes back the binding that the new one makes: one after the other.
        await asyncio.gather(*(line.close() for line in gone))
        for line in new:
            line.start()

    async def place(self, request: DialRequest) -> SipLeg:
        """As the port says: returns with the first response of the trunk, whatever it is."""
        line = self._line_for(request.trunk_id)
        await line.turn()
        targets = line.targets
        if not targets or self._is_closing:
            raise CarrierRejectedError("carrier_unreachable", detail="The trunk's name does not resolve.")
        try:
            leg = self._make_leg(line, request.ladder, ipv6=":" in targets[0].address.host)
        except PortsExhaustedError as error:
            raise CarrierRejectedError("carrier_unreachable", detail="No media port is free.") from error
        plan = CallPlan(
            f"{request.call_id}.{_token()}",
            request.to if request.to.startswith("sip:") else str(line.trunk.uri(request.to)),
            str(SipUri(line.trunk.host, request.from_)),
            targets,
            line.trunk.credentials,
            request.ring_timeout.total_seconds(),
        )
        self._dialled.append(request.call_id)
        leg.pending = call = OutgoingCall(self._agent, plan, leg.negotiator, leg.ladder, leg)
        try:
            is_accepted = await call.accepted(FIRST_ANSWER_SECONDS)
        except asyncio.CancelledError:
            leg.end(CANCELLED)
            raise
        if is_accepted:
            return leg
        leg.end(CANCELLED)
        if call.in_doubt:
            raise OutcomeUnknownError
        self._dialled.remove(request.call_id)
        raise CarrierRejectedError("carrier_unreachable", detail=line.state.last_error)

    def diagnose(self, trunk_id: str, numbers: tuple[str, str] | None) -> AsyncGenerator[Step, None]:
        """Look at a trunk step by step, see `sip.diagnosis`; `numbers` are whom a test call goes to and comes from.

        Raises:
            CarrierRejectedError: there is no such trunk.
        """
        trial = (lambda: self.place(trial_of(trunk_id, *numbers))) if numbers else None
        return diagnose(self._agent, self._line_for(trunk_id).trunk, trial)

    async def find(self, call_id: str) -> bool | None:
        """True for calls dialled here; None for others: another process may have dialled them."""
        return True if call_id in self._dialled else None

    def on_call(self, listener: Callable[[Invite], None]) -> None:
        self.on_invite = listener

    def on_refusal(self, listener: Callable[[RefusedCall], None]) -> None:
        """Tell of calls that were refused before they reached `on_invite`."""
        self._desk.on_refusal = listener

    async def close(self) -> None:
        """Refuse what rings, hang up what talks, take registrations back, close the sockets."""
        self._is_closing = True
        for incoming in tuple(self._incoming):
            incoming.reject(503)
        for leg in tuple(self._legs):
            await leg.hang_up()
        await self._agent.settle(GOODBYE_SECONDS)
        await asyncio.gather(*(line.close() for line in self._roster))
        self._agent.transactions.close()
        await self._transports.close()

    def _line_for(self, trunk_id: str | None) -> TrunkLine:
        line = self._roster.named(trunk_id)
        if line is None:
            raise CarrierRejectedError(Cause.NO_TRUNK, detail="The trunk is gone.")
        return line

    def _make_leg(self, line: TrunkLine, ladder: Ladder, *, ipv6: bool) -> SipLeg:
        rtp = self._rtp_ipv6 if ipv6 and self._rtp_ipv6 else self._rtp
        media = rtp.allocate()
        negotiator = self._negotiator(media, rtp.advertised_address, line)
        leg = SipLeg(
            self._agent,
            media,
            negotiator,
            line.trunk,
            ladder,
            on_end=partial(self._forget, line),
            follow=partial(self._follow, line, rtp.advertised_address),
        )
        line.calls += 1
        self._legs.add(leg)
        return leg

    def _negotiator(self, media: MediaSession, host: str, line: TrunkLine) -> Negotiator:
        return Negotiator(media, host, line.trunk.srtp, self._random.getrandbits(31), self._may_reach)

    def _forget(self, line: TrunkLine, leg: SipLeg) -> None:
        line.calls -= 1
        self._legs.discard(leg)

    def _take_invite(self, lines: Sequence[TrunkLine], transaction: InviteServer) -> None:
        arrival = Arrival(lines, transaction.flow, self._desk)
        call = IncomingCall(
            self._agent,
            transaction,
            arrival.trunks,
            lambda ladder, *, ipv6: self._make_leg(arrival.line, ladder, ipv6=ipv6),
            partial(self._decided, arrival),
            admit=arrival.choose,
        )
        self._incoming.add(call)
        if self._is_closing or self.on_invite is None or len(self._incoming) > MAX_UNDECIDED:
            call.reject(480 if self.on_invite is None else 503)
            return
        try:
            self.on_invite(call)
        except Exception:
            log.exception("sip.invite_failed")
            call.reject(500)

    def _decided(self, arrival: Arrival, call: IncomingCall) -> None:
        arrival.leave()
        self._incoming.discard(call)

    def _follow(self, line: TrunkLine, media_host: str, leg: SipLeg, referral: Referral) -> bool:
        """Call who we are referred to, by the same trunk only: nobody makes us call foreign hosts."""
        if not line.trunk.accepts_refer or leg.session is None:
            return False
        try:
            uri, headers = referred_call(referral.target)
        except SipSyntaxError:
            return False
        negotiator = self._negotiator(leg.media, media_host, line)
        plan = CallPlan(
            _token(),
            uri,
            leg.session.dialog.local.uri,
            line.targets,
            line.trunk.credentials,
            FOLLOW_SECONDS,
            headers,
        )
        follower = Follower(leg, negotiator, referral)
        leg.pending = OutgoingCall(self._agent, plan, negotiator, leg.ladder, follower)
        return True


def _token() -> str:
    return secrets.token_hex(TOKEN_BYTES)
