"""A trunk at work: where it is, whether it answers, how many calls it carries, how fast they may start."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from call_service.carriers.port import CarrierRejectedError
from call_service.carriers.sip.agent import ABOUT_US, UserAgent
from call_service.carriers.sip.dialog import MAX_FORWARDS
from call_service.carriers.sip.message import NoResponse, Request
from call_service.carriers.sip.registration import Registration
from call_service.carriers.sip.resolver import Target
from call_service.carriers.sip.transports import TransportError
from call_service.carriers.sip.trunk import Trunk

Network = IPv4Network | IPv6Network

LOOKUP_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 5.0
WITHDRAW_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class TrunkState:
    """What an operator sees. None: not asked (no registration wanted, no ping sent yet)."""

    is_registered: bool | None
    is_reachable: bool | None
    last_error: str | None
    calls: int


class TrunkLine:
    """`calls` counts those that ring or talk, in both directions. `on_moved` is told when its `networks` changed."""

    def __init__(
        self, agent: UserAgent, trunk: Trunk, on_moved: "Callable[[TrunkLine], None]" = lambda _line: None
    ) -> None:
        self.trunk = trunk
        self.calls = 0
        self._agent = agent
        self._on_moved = on_moved
        self._registration = Registration(agent, trunk) if trunk.registers else None
        self._targets: list[Target] = []
        self._is_reachable: bool | None = None
        self._last_error: str | None = None
        self._next_start = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def state(self) -> TrunkState:
        """As of now."""
        registered = self._registration
        error = (registered.last_error if registered else None) or self._last_error
        return TrunkState(registered.is_registered if registered else None, self._is_reachable, error, self.calls)

    def start(self) -> None:
        """Keep watching it, and registered; `look_up` comes first."""
        self._tasks.append(asyncio.create_task(self._watch(), name="sip-trunk"))
        if self._registration:
            self._tasks.append(asyncio.create_task(self._registration.run(), name="sip-registration"))

    async def close(self) -> None:
        """Stop, and take the registration back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._registration:
            try:
                async with asyncio.timeout(WITHDRAW_SECONDS):
                    await self._registration.withdraw()
            except TimeoutError:
                return

    @property
    def networks(self) -> frozenset[Network]:
        """Whose addresses are the trunk's."""
        return frozenset((*self.trunk.source_networks, *(ip_network(host) for host in self._hosts())))

    @property
    def is_full(self) -> bool:
        """No more calls fit."""
        return self.calls >= self.trunk.max_calls

    @property
    def targets(self) -> tuple[Target, ...]:
        """Where to send, best first; as of the last look-up."""
        return tuple(self._agent.resolver.preferred(self._targets))

    async def turn(self) -> None:
        """Wait until another call may start.

        Raises:
            CarrierRejectedError: the trunk is full, or too many wait already.
        """
        now = self._agent.timers.now()
        start = max(now, self._next_start)
        if self.is_full or start - now > LONGEST_WAIT_SECONDS:
            raise CarrierRejectedError("trunk_busy", detail="The trunk carries as many calls as it may.")
        self._next_start = start + 1 / self.trunk.calls_per_second
        if start > now:
            await self._agent.pause(start - now)

    async def _watch(self) -> None:
        interval = self.trunk.pings_every
        while True:
            if interval:
                await self._ping()
            await self._agent.pause(interval.total_seconds() if interval else LOOKUP_SECONDS)
            await self.look_up()

    async def look_up(self) -> None:
        """Find out where it is."""
        before = self._hosts()
        self._targets = await self._agent.resolver.resolve(self.trunk.uri()) or self._targets
        if self._hosts() != before:
            self._on_moved(self)

    def _hosts(self) -> set[str]:
        return {target.address.host for target in self._targets}

    async def _ping(self) -> None:
        results = await asyncio.gather(*(self._ping_one(target) for target in self._targets))
        self._is_reachable = any(error is None for error in results)
        self._last_error = None if self._is_reachable else next(iter(results), "the name does not resolve")

    async def _ping_one(self, target: Target) -> str | None:
        """Ask for anything (RFC 3261, 11): any answer will do. Returns what went wrong."""
        try:
            flow = await self._agent.network.flow(target)
        except TransportError as error:
            self._agent.resolver.avoid(target.address)
            return str(error)
        uri = str(self.trunk.uri())
        headers = (
            MAX_FORWARDS,
            ("From", f"<{self.trunk.uri(self.trunk.username)}>;tag={self._agent.token()}"),
            ("To", f"<{uri}>"),
            ("Call-ID", self._agent.token()),
            ("CSeq", "1 OPTIONS"),
            self._agent.contact(flow),
            *ABOUT_US,
        )
        response = await self._agent.exchange(Request("OPTIONS", uri, headers), flow)
        if isinstance(response, NoResponse):
            self._agent.resolver.avoid(target.address)
            return "no answer"
        self._agent.resolver.trust(target.address)
        return None
