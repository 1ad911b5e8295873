"""The `Leg` of a SIP call: signalling on one side, the RTP session on the other."""

from collections.abc import Callable

from call_service.carriers.events import EventLog
from call_service.carriers.port import (
    KEY_MS,
    Answered,
    Cause,
    DtmfReceived,
    Ended,
    LegEvent,
    Ringing,
    TransferFailedError,
)
from call_service.carriers.sip.agent import UserAgent
from call_service.carriers.sip.causes import ended_by
from call_service.carriers.sip.dialog import Dialog
from call_service.carriers.sip.dtmf_info import KEYS
from call_service.carriers.sip.media import MediaSession, Negotiator
from call_service.carriers.sip.outgoing import OutgoingCall
from call_service.carriers.sip.refer import Referral
from call_service.carriers.sip.session import Session
from call_service.carriers.sip.trunk import Trunk
from call_service.signalling.ladder import Ladder

CANCELLED = Ended(Cause.LOCAL_HANG_UP, 487)
NOT_IN_A_CALL = 481


class SipLeg:
    """One call over `trunk`. `ladder` holds its SIP messages; `media` its RTP session, with the statistics.

    It observes the call that is being made (`rings`, `answered`, `failed`) and owns the session that comes of it
    (`ended`, `pressed`, `referred`). `on_end` is called once, `follow` when the peer refers us to somebody else.
    """

    def __init__(
        self,
        agent: UserAgent,
        media: MediaSession,
        negotiator: Negotiator,
        trunk: Trunk,
        ladder: Ladder,
        *,
        on_end: Callable[["SipLeg"], None],
        follow: Callable[["SipLeg", Referral], bool],
    ) -> None:
        self.media = media
        self.ladder = ladder
        self.negotiator = negotiator
        self.session: Session | None = None
        self.pending: OutgoingCall | None = None
        self._agent = agent
        self.trunk = trunk
        self._on_end = on_end
        self._follow = follow
        self._events = EventLog()
        self._has_rung = False
        media.on_dtmf(self.pressed)
        media.on_lost(self._lose_media)
        media.on_failed(lambda: self.end(Ended(Cause.MEDIA_LOST)))

    @property
    def has_ended(self) -> bool:
        """Whether `Ended` was told."""
        return self._events.has_ended

    @property
    def queued_ms(self) -> int:
        return self.media.queued_ms

    def on_audio(self, listener: Callable[[bytes], None]) -> None:
        self.media.on_audio(listener)

    def on_played_frame(self, listener: Callable[[bytes], None]) -> None:
        self.media.on_played_frame(listener)

    def on_event(self, listener: Callable[[LegEvent], None]) -> None:
        self._events.listen(listener)

    def play(self, pcm: bytes) -> None:
        if not self.has_ended:
            self.media.play(pcm)

    def clear(self) -> int:
        return self.media.clear()

    def mark(self, on_played: Callable[[], None]) -> None:
        self.media.mark(on_played)

    async def send_dtmf(self, digits: str, key_ms: int = KEY_MS) -> None:
        """As the port says: RFC 4733 where the peer agreed to it, else INFO."""
        if not KEYS.issuperset(digits):
            raise ValueError("keys are 0-9, *, # and A-D")
        if self.session is None or self.has_ended:
            return
        if self.media.can_send_dtmf:
            await self.media.send_dtmf(digits, key_ms)
        else:
            await self.session.press(digits, key_ms)

    async def hold(self, *, held: bool) -> bool:
        """Put the peer on hold, or take it back; whether it agreed."""
        if self.session is None or self.has_ended:
            return False
        return (await self.session.modifications.hold(held=held)).is_success

    async def transfer(self, target: str) -> None:
        """Send the peer to a number of the trunk, or a SIP URI (blind); the leg ends when it talks with it.

        Raises:
            TransferFailedError: it does not; the call goes on.
        """
        if self.session is None or self.has_ended:
            raise TransferFailedError(NOT_IN_A_CALL)
        # Not the host of the caller's From: who is anonymous has one that leads nowhere (RFC 3323, 4.1.1).
        await self.session.transfer(target if target.startswith("sip:") else str(self.trunk.uri(target)))

    async def hang_up(self) -> None:
        self.end(Ended(Cause.LOCAL_HANG_UP) if self.session else CANCELLED)

    def end(self, ended: Ended) -> None:
        """End the leg, whatever it is doing. Harmless when it has ended."""
        if self.has_ended:
            return
        if self.pending:
            self.pending.cancel()
        if self.session:
            self.session.hang_up()
        self._agent.spawn(self.media.close())
        self._events.emit(ended)
        self._on_end(self)

    def rings(self) -> None:
        if not self._has_rung:
            self._has_rung = True
            self._events.emit(Ringing())

    def answered(self, dialog: Dialog) -> Session:
        self.pending = None
        self.session = self.take_over(dialog, self.negotiator, is_caller=True)
        self._events.emit(Answered())
        return self.session

    def acknowledged(self) -> None:
        """The caller has our answer: an incoming call begins."""
        self._events.emit(Answered())

    def failed(self, status: int) -> None:
        self.pending = None
        self.end(ended_by(status))

    def ended(self, session: Session, ended: Ended) -> None:
        """A peer that referred us elsewhere may leave before the other party answered."""
        if session is self.session and not self.pending:
            self.end(ended)

    def pressed(self, digit: str) -> None:
        self._events.emit(DtmfReceived(digit))

    def referred(self, referral: Referral) -> bool:
        return not self.pending and self._follow(self, referral)

    def take_over(self, dialog: Dialog, negotiator: Negotiator, *, is_caller: bool) -> Session:
        """The session of an answered dialog, which this leg owns from now on."""
        self.negotiator = negotiator
        self.media.watch_anew()
        self.session = Session(self._agent, dialog, negotiator, self.trunk.credentials, self, is_caller=is_caller)
        return self.session

    def _lose_media(self) -> None:
        if self.session is None:  # who only rings need not send anything
            return
        if not (self.negotiator.is_held_by_peer or self.negotiator.is_holding):
            self.end(Ended(Cause.MEDIA_LOST))
