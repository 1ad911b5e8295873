"""The RTP engine of a process: ports, and the sessions that use them."""

import time
from collections.abc import Callable
from datetime import timedelta
from random import Random, SystemRandom

from call_service.carriers.rtp.session import RtpSession, Sockets
from call_service.carriers.rtp.sockets import PortPool
from call_service.carriers.ticker import Ticker

MEDIA_TIMEOUT = timedelta(seconds=15)


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
        self._sessions.discard(session)
        self._pool.release(session.local_port)
