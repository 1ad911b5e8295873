"""Where messages go: one UDP socket and peer, or one connection."""

from ipaddress import ip_address
from typing import NamedTuple, Protocol


class Address(NamedTuple):
    """An IP address (no brackets) and a port."""

    host: str
    port: int


class Flow(Protocol):
    """A way to one peer. `send` never raises: what cannot be sent is lost, as on any network."""

    @property
    def transport(self) -> str:
        """One of UDP, TCP and TLS."""

    @property
    def local(self) -> Address:
        """As it is advertised to peers."""

    @property
    def peer(self) -> Address:
        """Where it leads."""

    @property
    def is_open(self) -> bool:
        """Whether sending makes sense."""

    def towards(self, peer: Address) -> "Flow":
        """The same way to another port or host; a connection leads to its own peer only."""

    def send(self, data: bytes) -> None:
        """Send one message."""


def is_reliable(flow: Flow) -> bool:
    """Whether the transport retransmits by itself."""
    return flow.transport != "UDP"


def is_behind_nat(stated_host: str, source: Address) -> bool:
    """Whether a peer states a private address and is heard from a public one: it is reached at that only."""
    return _is_private(stated_host) and not _is_private(source.host)


def _is_private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return False
