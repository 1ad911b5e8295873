"""One carrier over all networks of a worker: calls with a trunk go by SIP, the others by the default carrier."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from call_service.carriers.port import (
    Carrier,
    CarrierRejectedError,
    Cause,
    DialRequest,
    IncomingCall,
    Leg,
    RefusedCall,
)

if TYPE_CHECKING:  # an extra that workers without trunks don't need
    from call_service.carriers.sip import SipCarrier, Step, Trunk, TrunkState

log = structlog.get_logger(__name__)

SIP = "sip"


class RoutingCarrier:
    """A `Carrier`. `open_sip` opens the SIP part; it is asked once there is a trunk, and again while it fails.

    `sip_error` says why there is no SIP part although there are trunks; `name` is the default carrier's.
    """

    def __init__(self, default: Carrier | None, open_sip: "Callable[[], Awaitable[SipCarrier]]") -> None:
        self.name = default.name if default else "none"
        self.sip_error: str | None = None
        self._default = default
        self._open_sip = open_sip
        self._sip: SipCarrier | None = None
        self._on_call: Callable[[IncomingCall], None] | None = None
        self._on_refusal: Callable[[RefusedCall], None] | None = None
        self._changing = asyncio.Lock()

    @property
    def states(self) -> "dict[str, TrunkState]":
        """How each trunk does, by its id."""
        return self._sip.states if self._sip else {}

    async def use(self, trunks: "Sequence[Trunk]") -> None:
        """These are the trunks from now on. Live calls go on until they end, whatever became of their trunk."""
        async with self._changing:
            if self._sip is None and trunks:
                await self._open()
            if self._sip:
                await self._sip.use(trunks)

    async def place(self, request: DialRequest) -> Leg:
        if request.trunk_id is None:
            if self._default is None:
                raise CarrierRejectedError(Cause.NO_TRUNK, detail="The number that calls belongs to no trunk.")
            return await self._default.place(request)
        return await self._opened().place(request)

    def diagnose(self, trunk_id: str, numbers: tuple[str, str] | None) -> "AsyncGenerator[Step, None]":
        """As `SipCarrier.diagnose`."""
        return self._opened().diagnose(trunk_id, numbers)

    async def find(self, call_id: str) -> bool | None:
        """False only where nobody can have dialled it."""
        known = [await carrier.find(call_id) for carrier in (self._default, self._sip) if carrier]
        return True if True in known else None if None in known else False

    def on_call(self, listener: Callable[[IncomingCall], None]) -> None:
        self._on_call = listener
        for carrier in (self._default, self._sip):
            if carrier:
                carrier.on_call(listener)

    def on_refusal(self, listener: Callable[[RefusedCall], None]) -> None:
        """Tell of calls that SIP trunks are refused before anybody is asked."""
        self._on_refusal = listener
        if self._sip:
            self._sip.on_refusal(listener)

    async def close(self) -> None:
        for carrier in (self._default, self._sip):
            if carrier:
                await carrier.close()

    def _opened(self) -> "SipCarrier":
        if self._sip is None:
            raise CarrierRejectedError(Cause.CARRIER_UNREACHABLE, detail=self.sip_error)
        return self._sip

    async def _open(self) -> None:
        try:
            self._sip = await self._open_sip()
        except (OSError, ImportError) as error:
            self.sip_error = f"This worker can't open SIP: {error}"
            log.warning("sip.not_open", cause=repr(error))
            return
        self.sip_error = None
        if self._on_refusal:
            self._sip.on_refusal(self._on_refusal)
        if self._on_call:
            self._sip.on_call(self._on_call)
