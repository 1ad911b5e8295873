"""The RTP engine of a process: ports, and the sessions that use them."""

import time
from collections.abc import Callable
from datetime import timedelta
from random import Random, SystemRandom

from prometheus_client import Counter, Histogram

from call_service.carriers.rtp.session import RtpSession, Sockets
from call_service.carriers.rtp.sockets import PortPool
from call_service.carriers.rtp.stats import MediaStats
from call_service.carriers.ticker import Ticker

MEDIA_TIMEOUT = timedelta(seconds=15)

PACKETS = Counter("talkstack_rtp_packets", "Audio packets of calls that have ended, by fate.", ["fate"])
JITTER = Histogram(
    "talkstack_rtp_jitter_seconds",
    "Jitter at the end of a call (RFC 3550, 6.4.1).",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16),
)


class RtpEngine:
    """Makes sessions on pairs of `ports` of the IP `address`; `advertised_address` is for the SDP (NAT).

    `clock` tells Unix seconds, in step with the kernel's.
    """

    def __init__(
        self,
        ports: range,
        address: str,
        advertised_address: str,
        ticker: Ticker,
        *,
        media_timeout: timedelta = MEDIA_TIMEOUT,
        clock: Callable[[], float] = time.time,
        random: Random | None = None,
    ) -> None:
        self.advertised_address = advertised_address
        self._pool = PortPool(address, ports)
        self._ticker = ticker
        self._media_timeout = media_timeout
        self._clock = clock
        self._random = random or SystemRandom()
        self._sessions: set[RtpSession] = set()

    @property
    def free_ports(self) -> int:
        """For how many more sessions there are ports."""
        return self._pool.free

    def allocate(self) -> RtpSession:
        """Bind a pair of ports.

        Raises:
            PortsExhaustedError: none is free.
            OSError: `address` is not of this machine.
        """
        port, *sockets = self._pool.bind()
        session = RtpSession(
            port,
            Sockets(*sockets),
            self._ticker,
            self._free,
            media_timeout=self._media_timeout,
            clock=self._clock,
            random=self._random,
        )
        self._sessions.add(session)
        return session

    async def close(self) -> None:
        """Close every session."""
        for session in tuple(self._sessions):
            await session.close()

    def _free(self, session: RtpSession) -> None:
        _measure(session.stats())
        self._sessions.discard(session)
        self._pool.release(session.local_port)


def _measure(stats: MediaStats) -> None:
    PACKETS.labels("sent").inc(stats.packets_sent)
    PACKETS.labels("received").inc(stats.packets_received)
    PACKETS.labels("lost").inc(stats.lost)
    PACKETS.labels("late").inc(stats.late)
    PACKETS.labels("lost_by_peer").inc(max(stats.remote_lost or 0, 0))
    if stats.packets_received:
        JITTER.observe(stats.jitter_ms / 1000)
