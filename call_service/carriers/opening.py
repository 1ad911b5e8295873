"""Opens the carrier that the settings ask for."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from call_service.carriers.port import Carrier
from call_service.carriers.simulated import ScriptBook, SimulatedCarrier
from call_service.carriers.ticker import Ticker
from call_service.settings import WorkerSettings
from call_service.voice.engines.bundle import Engines
from shared.errors import UnavailableError

if TYPE_CHECKING:
    from call_service.carriers.sip import Trunk

CALLEE_VOICE = "heart-brisk"


class TrunksUnusableError(UnavailableError):
    """The file of SIP trunks can't be used."""


@asynccontextmanager
async def open_carrier(settings: WorkerSettings, engines: Engines) -> AsyncIterator[Carrier]:
    """The carrier, ready to dial; its legs are ended when the block ends.

    Raises:
        TrunksUnusableError: names the file and the field.
        OSError: a SIP port is taken.
    """
    if settings.carrier == "sip":
        async with _sip(settings) as sip:
            yield sip
        return
    simulated = _simulated(settings, engines)
    try:
        yield simulated
    finally:
        await simulated.close()


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


@asynccontextmanager
async def _sip(settings: WorkerSettings) -> AsyncIterator[Carrier]:
    # An extra that workers without SIP don't need.
    from call_service.carriers.rtp import RtpEngine  # noqa: PLC0415
    from call_service.carriers.sip import Listener, SipCarrier  # noqa: PLC0415

    path = settings.sip_trunks_file
    if path is None:
        raise TrunksUnusableError("CARRIER=sip needs SIP_TRUNKS_FILE.")
    trunks = _read(path)
    address = str(settings.sip_address)
    advertised = str(settings.sip_advertised_address or settings.sip_address)
    ports = range(settings.rtp_first_port, settings.rtp_last_port + 1)
    rtp = RtpEngine(ports, address, advertised, Ticker())
    listeners = tuple(Listener(kind, address, settings.sip_port, advertised) for kind in ("UDP", "TCP"))
    carrier = SipCarrier(trunks, rtp, listeners)
    await carrier.open()
    try:
        yield carrier
    finally:
        await carrier.close()
        await rtp.close()


def _read(path: Path) -> "tuple[Trunk, ...]":
    from call_service.carriers.sip import Trunk  # noqa: PLC0415 - as above

    try:
        return TypeAdapter(tuple[Trunk, ...]).validate_json(path.read_bytes())
    except OSError as error:
        raise TrunksUnusableError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TrunksUnusableError(f"{path}: {where}: {first['msg']}") from None
