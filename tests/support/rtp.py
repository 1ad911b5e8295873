"""Two RTP sessions on a network of virtual time, and how alike two pieces of audio are."""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random

import numpy as np

from call_service.carriers.rtp.session import RtpSession, Sockets
from call_service.carriers.rtp.source import Address
from call_service.carriers.testing import VirtualTime
from call_service.carriers.ticker import Ticker

WALL = 1_700_000_000.0
HERE, THERE = "192.0.2.1", "192.0.2.2"
PORT = 4_000
SWEEP_SECONDS = 10


class Network:
    """Carries datagrams between `VirtualSocket`s. `delays` tells for each the milliseconds of its copies."""

    def __init__(self, time: VirtualTime) -> None:
        self.time = time
        self.sockets: dict[Address, VirtualSocket] = {}
        self.carried: list[tuple[Address, Address, bytes]] = []
        self.delays: Callable[[bytes], Sequence[float]] = lambda _packet: (1.0,)

    def now(self) -> float:
        return WALL + self.time.time()

    def socket(self, address: Address) -> "VirtualSocket":
        self.sockets[address] = VirtualSocket(self, address)
        return self.sockets[address]

    def carry(self, packet: bytes, source: Address, target: Address) -> None:
        self.carried.append((source, target, packet))
        for delay in self.delays(packet):
            self.time.call_at(self.time.time() + delay / 1000, lambda: self.deliver(packet, source, target))

    def deliver(self, packet: bytes, source: Address, target: Address) -> None:
        if target in self.sockets:
            self.sockets[target].inbox.append((packet, source, self.now()))


class VirtualSocket:
    """A `DatagramSocket` on a `Network`."""

    def __init__(self, network: Network, address: Address) -> None:
        self.inbox: deque[tuple[bytes, Address, float]] = deque()
        self._network = network
        self._address = address

    def receive(self) -> tuple[bytes, Address, float] | None:
        return self.inbox.popleft() if self.inbox else None

    def send(self, packet: bytes | bytearray, address: Address) -> None:
        self._network.carry(bytes(packet), self._address, address)

    def close(self) -> None:
        self._network.sockets.pop(self._address, None)


class Party:
    """A session and all that it tells."""

    def __init__(
        self, network: Network, host: str, ticker: Ticker, *, media_timeout: timedelta = timedelta(seconds=15)
    ) -> None:
        self.address = (host, PORT)
        self.closed = 0
        sockets = Sockets(network.socket(self.address), network.socket((host, PORT + 1)))
        self.session = RtpSession(
            PORT,
            sockets,
            ticker,
            self._count_closed,
            media_timeout=media_timeout,
            clock=network.now,
            random=Random(host),
        )
        self.heard: list[bytes] = []
        self.played: list[bytes] = []
        self.keys = ""
        self.lost = self.failed = 0
        self.session.on_audio(self.heard.append)
        self.session.on_played_frame(self.played.append)
        self.session.on_dtmf(self._press)
        self.session.on_lost(self._lose)
        self.session.on_failed(self._fail)

    def _press(self, key: str) -> None:
        self.keys += key

    def _lose(self) -> None:
        self.lost += 1

    def _fail(self) -> None:
        self.failed += 1

    def _count_closed(self, _session: RtpSession) -> None:
        self.closed += 1


def sweep(low: float = 200, high: float = 3_000, seconds: int = SWEEP_SECONDS) -> bytes:
    """PCM of a tone that rises from `low` to `high` Hz."""
    at = np.arange(seconds * 8_000) / 8_000
    phase = 2 * np.pi * (low * at + (high - low) / (2 * seconds) * at * at)
    return bytes((10_000 * np.sin(phase)).astype("<i2").tobytes())


def likeness(heard: bytes, sent: bytes) -> float:
    """The normalised cross-correlation of `sent` with what of `heard` resembles it most; 1 is the same."""
    long, short = (np.frombuffer(pcm, "<i2").astype(float) for pcm in (heard, sent))
    size = len(long) + len(short)
    correlation = np.fft.irfft(np.fft.rfft(long, size) * np.conj(np.fft.rfft(short, size)), size)
    at = int(np.argmax(correlation[: len(long)]))
    found = long[at : at + len(short)]
    norm = np.linalg.norm(found) * np.linalg.norm(short)
    return float(np.dot(found, short[: len(found)]) / norm) if norm else 0.0
