"""Where messages go: one UDP socket and peer, or one connection."""

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

    def send(self, data: bytes) -> None:
        """Send one message."""


def is_reliable(flow: Flow) -> bool:
    """Whether the transport retransmits by itself."""
    return flow.transport != "UDP"
