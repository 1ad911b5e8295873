"""Carries out what the API asks of an answered call: one command after the other, each once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from call_service.calls.commands import Command
from call_service.calls.events import HeldCall, TransferredCall
from call_service.capacity.domain import Limits
from call_service.carriers.port import Carrier, Cause, DialRequest, KeysNotSentError, Leg, TransferFailedError
from call_service.dialer.journal import Journal
from call_service.dialer.second_leg import PLACE_SECONDS, NotReachedError, SecondLeg, Voice
from call_service.signalling.ladder import Ladder
from call_service.voice.ports import Transfer
from call_service.voice.session import VoiceSession
from shared.clock import SystemClock
from shared.ids import new_id

log = structlog.get_logger(__name__)

# Nobody speaks meanwhile.
LONGEST_WAIT = timedelta(seconds=5)
# 32 keys of a second with their pauses take 37, behind what the agent itself presses; a peer may answer each INFO late.
PRESS_SECONDS = 90


class _FailedError(Exception):
    """A command was not carried out; its text is the reason that is told to who asked."""


@dataclass(frozen=True, slots=True)
class Line:
    """An answered call with what its commands need. A target is dialled like `request`, within the `limits`.

    `apology` is said when a transfer that the agent itself wanted has failed.
    """

    leg: Leg
    carrier: Carrier
    request: DialRequest
    voice: Voice
    apology: str
    limits: Limits


class CallControl:
    """The commands of one call."""

    def __init__(self, line: Line, session: VoiceSession, journal: Journal) -> None:
        self._line = line
        self._session = session
        self._journal = journal
        self._known: set[str] = set()
        self._waiting: asyncio.Queue[Command] = asyncio.Queue()
        self._leaving: Command | None = None
        self._is_held = False
        self._actions: dict[str, Callable[[Command], Awaitable[None]]] = {
            "say": self._say,
            "dtmf": self._press,
            "hold": self._hold,
            "unhold": self._unhold,
            "transfer": self._transfer,
        }

    def submit(self, command: Command) -> None:
        """Do it after what was asked before; harmless when it was submitted already."""
        if command.id in self._known:
            return
        self._known.add(command.id)
        if command.arguments.get("interrupt"):
            self._session.interrupt()
        self._waiting.put_nowait(command)

    def connect(self, wanted: Transfer) -> None:
        """Transfer as the agent wants it; where it fails, the agent says so and goes on."""
        arguments = {
            "to": wanted.to,
            "mode": wanted.mode,
            "announcement": wanted.announcement,
            "apology": self._line.apology,
        }
        self.submit(
            Command(new_id(), self._journal.call.id, "transfer", arguments, "accepted", None, SystemClock().now(), None)
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._do(await self._waiting.get())

    def left(self) -> None:
        """The callee was transferred: it may leave before the transfer itself has said so."""
        if self._leaving:
            self._joined(self._leaving)
            self._leaving = None

    async def _do(self, command: Command) -> None:
        try:
            await self._actions[command.kind](command)
        except (_FailedError, NotReachedError) as error:
            self._journal.finish(command, str(error))
            if apology := command.arguments.get("apology"):
                await self._session.announce(apology)
        except Exception:
            log.exception("command failed", kind=command.kind)
            self._journal.finish(command, "internal_error")

    async def _say(self, command: Command) -> None:
        if self._is_held:
            raise _FailedError("call_on_hold")
        if not await self._session.announce(command.arguments["text"]):
            raise _FailedError("interrupted")
        self._journal.finish(command)

    async def _press(self, command: Command) -> None:
        try:
            async with asyncio.timeout(PRESS_SECONDS):
                await self._line.leg.send_dtmf(command.arguments["digits"], command.arguments["tone_ms"])
        except KeysNotSentError as error:
            raise _FailedError(error.reason) from error
        except TimeoutError as error:
            raise _FailedError("timeout") from error
        self._journal.finish(command)

    async def _hold(self, command: Command) -> None:
        self._pause()
        if not await self._line.leg.hold(held=True):
            self._go_on()
            raise _FailedError("carrier_rejected")
        self._is_held = True
        self._journal.finish(command, event=HeldCall(call_id=command.call_id, held=True))

    async def _unhold(self, command: Command) -> None:
        if not await self._line.leg.hold(held=False):
            raise _FailedError("carrier_rejected")
        self._is_held = False
        self._go_on()
        self._journal.finish(command, event=HeldCall(call_id=command.call_id, held=False))

    async def _transfer(self, command: Command) -> None:
        """The agent is silent meanwhile; where it fails, the conversation goes on."""
        self._pause()
        try:
            await (self._warm(command) if command.arguments["mode"] == "warm" else self._blind(command))
        except Exception:
            self._go_on()
            raise

    async def _blind(self, command: Command) -> None:
        self._leaving = command
        try:
            await self._line.leg.transfer(command.arguments["to"])
        except TransferFailedError as error:
            self._leaving = None
            raise _FailedError(f"sip_{error.sip_code}") from error
        self.left()

    async def _warm(self, command: Command) -> None:
        """Call the target, tell it who comes, then carry the audio between the two until one of them leaves."""
        request = replace(self._line.request, call_id=command.id, to=command.arguments["to"], ladder=Ladder())
        target = SecondLeg(self._line.carrier, request)
        try:
            await self._await_turn()
            await target.reach()
            await target.tell(command.arguments["announcement"], self._line.voice)
            if self._is_held:
                await self._line.leg.hold(held=False)
            self._session.join(target.leg)
            self._joined(command)
            await target.ended.wait()
        finally:
            await target.hang_up()
            self._journal.leave_second_leg()
        self._session.leave()

    async def _await_turn(self) -> None:
        """The target takes a place of the trunk like any call, and its turn. Raises NotReachedError."""
        try:
            async with asyncio.timeout(PLACE_SECONDS):
                delay = await self._journal.take_second_leg(self._line.limits, LONGEST_WAIT)
        except TimeoutError as error:
            raise NotReachedError("database_unavailable") from error
        if delay is None:
            raise NotReachedError(Cause.TRUNK_BUSY)
        await asyncio.sleep(delay.total_seconds())

    def _pause(self) -> None:
        if not self._session.pause():
            raise _FailedError("call_ending")

    def _go_on(self) -> None:
        if not self._is_held:
            self._session.resume()

    def _joined(self, command: Command) -> None:
        event = TransferredCall(call_id=command.call_id, to=command.arguments["to"], mode=command.arguments["mode"])
        self._journal.finish(command, event=event)
