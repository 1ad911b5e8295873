"""The carrier port: what the worker asks of a telephone network, and what it hears back.

Audio on both sides of the port is signed 16-bit little-endian mono PCM at 8 kHz, in frames of 20 ms (160 samples,
320 bytes). All methods are called on the event loop, none of them blocks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from call_service.signalling.ladder import Ladder

SAMPLE_RATE = 8_000
BYTES_PER_MS = SAMPLE_RATE * 2 // 1000
FRAME_MS = 20
FRAME_SAMPLES = SAMPLE_RATE * FRAME_MS // 1000
KEY_MS = 100
FRAME_BYTES = FRAME_MS * BYTES_PER_MS
SILENCE_FRAME = bytes(FRAME_BYTES)


@dataclass(frozen=True, slots=True)
class DialRequest:
    """One attempt to reach one number. `to` and `from_` are E.164; `call_id` makes the attempt known to `find`.

    Whatever comes of it, a carrier with SIP messages leaves them in `ladder`. `trunk_id` says which trunk it goes by.
    """

    call_id: str
    to: str
    from_: str
    ring_timeout: timedelta
    ladder: Ladder = field(default_factory=Ladder, compare=False, repr=False)
    trunk_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ringing:
    """The network is alerting the callee (SIP 180)."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The callee answered (SIP 200): media flows from now on."""


@dataclass(frozen=True, slots=True)
class DtmfReceived:
    """The callee pressed a key: one of `0-9*#A-D`."""

    digit: str


@dataclass(frozen=True, slots=True)
class MachineDetected:
    """An answering machine took the call. `beep` is true once its tone ended and it records."""

    beep: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The leg is over, whoever ended it. `sip_code` is the final response before an answer, None after one."""

    cause: str  # a `Cause` value
    sip_code: int | None = None


class Cause:
    """Why a leg ended, in the words of the public `reason` (docs: call status)."""

    CALLEE_HUNG_UP = "callee_hung_up"
    LOCAL_HANG_UP = "agent_hung_up"
    TRANSFERRED = "transferred"
    BUSY = "callee_busy"
    NO_ANSWER = "no_answer"
    DECLINED = "declined"
    INVALID_NUMBER = "invalid_number"
    MEDIA_LOST = "media_lost"
    CARRIER_REJECTED = "carrier_rejected"
    CARRIER_UNREACHABLE = "carrier_unreachable"
    CARRIER_AUTH_FAILED = "carrier_auth_failed"
    TRUNK_BUSY = "trunk_busy"
    NO_TRUNK = "no_trunk"


LegEvent = Ringing | Answered | DtmfReceived | MachineDetected | Ended


class CarrierRejectedError(Exception):
    """The carrier refused the attempt before anybody's phone rang; it is certain that nobody was dialled."""

    def __init__(self, reason: str, sip_code: int | None = None, *, detail: str | None = None) -> None:
        super().__init__(detail or reason)
        self.reason = reason
        self.sip_code = sip_code


class OutcomeUnknownError(Exception):
    """It cannot be told whether the carrier took the attempt; it must never be dialled again."""


class TransferFailedError(Exception):
    """The other party was not reached; the call goes on. `sip_code` is the final status that was reported."""

    def __init__(self, sip_code: int) -> None:
        super().__init__(f"the transfer ended with {sip_code}")
        self.sip_code = sip_code


class KeysNotSentError(Exception):
    """Not all keys were pressed; the call goes on. `reason` is `call_on_hold`, or `sip_` and a refusal's status."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the keys were not sent: {reason}")
        self.reason = reason


class Leg(Protocol):
    """One call at the carrier. Callbacks run on the event loop and must return at once."""

    def on_audio(self, listener: Callable[[bytes], None]) -> None:
        """Deliver every received 20 ms frame (silence included) to `listener`, at the pace of a real clock."""

    def on_event(self, listener: Callable[[LegEvent], None]) -> None:
        """Deliver events in order, also those that came before the listener; `Ended` is the last, exactly once."""

    def play(self, pcm: bytes) -> None:
        """Queue PCM for the callee behind what is queued already; any length, cut into frames by the leg.

        What exceeds two minutes of queued audio is dropped.
        """

    def clear(self) -> int:
        """Drop what is queued and not yet played. Returns the milliseconds that were dropped; pending marks fire."""

    def mark(self, on_played: Callable[[], None]) -> None:
        """Call `on_played` when everything queued before this point was played (or dropped by `clear`)."""

    @property
    def queued_ms(self) -> int:
        """How much queued audio was not played yet."""

    def on_played_frame(self, listener: Callable[[bytes], None]) -> None:
        """Deliver every frame as it goes out to the callee (silence included): what the recorder needs."""

    async def send_dtmf(self, digits: str, key_ms: int = KEY_MS) -> None:
        """Press keys (`0-9*#A-D`) towards the callee, each for `key_ms`.

        Raises:
            ValueError: other keys.
            KeysNotSentError: the callee has put us on hold, or refused them.
        """

    async def hold(self, *, held: bool) -> bool:
        """Stop hearing the callee, or hear it again; whether the network agreed. What we play is heard all the time."""

    async def transfer(self, target: str) -> None:
        """Send the callee to a number (or SIP URI) and leave; the leg ends as `transferred`.

        Raises:
            TransferFailedError: it does not talk with the target; the call goes on.
        """

    async def hang_up(self) -> None:
        """End the leg now. Harmless when it has ended already."""


class CallGoneError(Exception):
    """The caller gave up, or the call was answered or rejected already."""


class CallRefusedError(Exception):
    """The call could not be answered and was refused with `sip_code`."""

    def __init__(self, sip_code: int) -> None:
        super().__init__(f"refused with {sip_code}")
        self.sip_code = sip_code


class IncomingCall(Protocol):
    """A call that comes in and waits for our decision. `from_` and `to` are the numbers as the network writes them.

    It came by one of `trunks`; `trunk` is the likeliest until `belongs_to` says which.
    """

    trunks: Sequence[str]
    trunk: str
    from_: str
    to: str
    is_open: bool  # neither decided nor given up
    ladder: Ladder

    def on_cancel(self, listener: Callable[[], None]) -> None:
        """Tell when the caller gives up before the answer."""

    def belongs_to(self, trunk: str) -> None:
        """It came by this one of `trunks`.

        Raises:
            CallRefusedError: that trunk takes no more calls, or not such calls.
        """

    def ring(self) -> None:
        """Let the caller hear that we are alerted."""

    def reject(self, sip_code: int) -> None:
        """Refuse with a status of 300 or more. Harmless when the call is decided."""

    def answer(self) -> Leg:
        """Pick up. The leg tells `Answered` once the caller knows.

        Raises:
            CallGoneError: too late.
            CallRefusedError: it could not be.
        """


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """A call that came by one of `trunks` and was refused; `reason` says why in a word, all else is as it came."""

    trunks: Sequence[str]
    from_: str
    to: str
    sip_code: int
    reason: str
    ladder: Ladder = field(compare=False, repr=False)


class Carrier(Protocol):
    """A telephone network that can be asked to dial."""

    name: str

    async def place(self, request: DialRequest) -> Leg:
        """Dial. Returns once the carrier accepted the attempt; the rest comes as events of the leg.

        Raises:
            CarrierRejectedError: nobody was dialled.
            OutcomeUnknownError: perhaps somebody was.
        """

    async def find(self, call_id: str) -> bool | None:
        """Was an attempt with this id dialled? True, False, or None when the carrier cannot tell."""

    def on_call(self, listener: Callable[[IncomingCall], None]) -> None:
        """Give calls that come in to `listener`; without one they are refused."""

    async def close(self) -> None:
        """End all legs and free what the carrier holds."""
