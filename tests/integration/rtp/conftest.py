from collections.abc import AsyncIterator, Callable

import pytest

from call_service.carriers.rtp import RtpEngine
from call_service.carriers.ticker import Ticker

PORTS = range(18_000, 18_400)
LOOPBACK = "127.0.0.1"

MakeEngine = Callable[..., RtpEngine]


@pytest.fixture
async def make_engine() -> AsyncIterator[MakeEngine]:
    """Engines with a ticker of their own each; their sessions are closed after the test."""
    engines: list[tuple[RtpEngine, Ticker]] = []

    def make(ticker: Ticker | None = None, address: str = LOOPBACK, ports: range = PORTS) -> RtpEngine:
        ticker = ticker or Ticker()
        engines.append((RtpEngine(ports, address, address, ticker), ticker))
        return engines[-1][0]

    yield make
    for engine, ticker in engines:
        await engine.close()
        assert ticker.members == 0
