"""Opens the carriers of a worker."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from call_service.carriers.routing import RoutingCarrier
from call_service.carriers.simulated import ScriptBook, SimulatedCarrier
from call_service.carriers.ticker import Ticker
from call_service.settings import WorkerSettings
from call_service.voice.engines.bundle import Engines
from shared.http_client import is_public

if TYPE_CHECKING:
    from call_service.carriers.sip import SipCarrier

CALLEE_VOICE = "heart-brisk"


@asynccontextmanager
async def open_carrier(settings: WorkerSettings, engines: Engines) -> AsyncIterator[RoutingCarrier]:
    """The carrier, ready to dial; its legs are ended when the block ends."""
    default = _simulated(settings, engines) if settings.carrier == "simulated" else None
    async with AsyncExitStack() as media:
        carrier = RoutingCarrier(default, lambda: _sip(settings, media))
        try:
            yield carrier
        finally:
            await carrier.close()


def _simulated(settings: WorkerSettings, engines: Engines) -> SimulatedCarrier:
    own_scripts = [settings.simulated_scripts_dir] if settings.simulated_scripts_dir else []
    return SimulatedCarrier(
        ticker=Ticker(),
        synthesizer=engines.synthesizer,
        recognizer=engines.recognizer,
        book=ScriptBook.load(*own_scripts),
        random=random.Random(),  # noqa: S311 - it shapes the noise on the line
        voice_id=CALLEE_VOICE,
    )


async def _sip(settings: WorkerSettings, media: AsyncExitStack) -> "SipCarrier":
    """Raises OSError where a port is taken, or a certificate can't be read."""
    # An extra that workers without SIP don't need.
    from call_service.carriers.rtp import RtpEngine  # noqa: PLC0415
    from call_service.carriers.sip import Listener, SipCarrier, server_context  # noqa: PLC0415

    address = str(settings.sip_address)
    advertised = str(settings.sip_advertised_address or settings.sip_address)
    ports = range(settings.rtp_first_port, settings.rtp_last_port + 1)
    listeners = tuple(Listener(kind, address, settings.sip_port, advertised) for kind in ("UDP", "TCP"))
    certificate, key = settings.sip_tls_certificate, settings.sip_tls_key
    tls = None
    if certificate and key:
        tls = await asyncio.to_thread(server_context, str(certificate), str(key))
        listeners += (Listener("TLS", address, settings.sip_tls_port, advertised),)
    rtp = RtpEngine(ports, address, advertised, Ticker())
    may_reach = (lambda _address: True) if settings.trunk_allow_private else is_public
    carrier = SipCarrier((), rtp, listeners, server_tls=tls, may_reach=may_reach)
    try:
        await carrier.open()
    except BaseException:
        await carrier.close()
        raise
    media.push_async_callback(rtp.close)
    return carrier
