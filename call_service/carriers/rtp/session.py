"""The media of one call: a pair of ports, both streams, and what is measured on them."""

import ipaddress
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Literal, NamedTuple

import structlog

from call_service.carriers.port import FRAME_MS, KEY_MS, SAMPLE_RATE, SILENCE_FRAME, KeysNotSentError
from call_service.carriers.rtp.codec import CODECS
from call_service.carriers.rtp.control import Control
from call_service.carriers.rtp.inbound import Inbound
from call_service.carriers.rtp.outbound import Outbound
from call_service.carriers.rtp.sockets import DatagramSocket
from call_service.carriers.rtp.source import Address, SourceLock
from call_service.carriers.rtp.srtp import SrtpContext, SrtpKeys
from call_service.carriers.rtp.stats import MediaStats
from call_service.carriers.ticker import Ticker

log = structlog.get_logger()

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
MAX_DATAGRAMS_A_TICK = 50
CONTROL_EVERY_TICKS = 5
ON_HOLD = "call_on_hold"


class KeysUnavailableError(Exception):
    """The peer did not agree to telephone events; keys need another way (SIP INFO)."""


class Sockets(NamedTuple):
    """Where the session sends and receives."""

    rtp: DatagramSocket
    rtcp: DatagramSocket


class RtpSession:
    """The media half of a `Leg`, made by `RtpEngine.allocate`. Nothing flows before `start`.

    All work is done at the ticks of the shared ticker: sockets are drained, one frame is heard, one is sent.
    """

    def __init__(
        self,
        local_port: int,
        sockets: Sockets,
        ticker: Ticker,
        on_closed: Callable[["RtpSession"], None],
        *,
        media_timeout: timedelta,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        self.local_port = local_port
        self._sockets = sockets
        self._ticker = ticker
        self._on_closed = on_closed
        self._clock = clock
        self._timeout_ticks = int(media_timeout.total_seconds() * 1000) // FRAME_MS
        self._outbound = Outbound(random)
        self._inbound = Inbound(self._tell_key)
        self._control = Control(random)
        self._lock = SourceLock(("", 0), symmetric=False)
        self._control_address: Address = ("", 0)
        self._srtp: SrtpContext | None = None
        self._latest_srtp: SrtpContext | None = None  # also while media goes unencrypted
        self._sends = self._receives = True
        self._silent_ticks = 0
        self._ticks = 0
        self._is_started = self._is_closed = False
        self._audio_listeners: list[Callable[[bytes], None]] = []
        self._played_listeners: list[Callable[[bytes], None]] = []
        self._key_listeners: list[Callable[[str], None]] = []
        self._lost_listeners: list[Callable[[], None]] = []
        self._failure_listeners: list[Callable[[], None]] = []

    @property
    def queued_ms(self) -> int:
        """How much queued audio was not played yet."""
        return self._outbound.queue.queued_ms

    @property
    def can_send_dtmf(self) -> bool:
        """Did the peer agree to telephone events?"""
        return self._outbound.can_press

    def start(
        self,
        remote: Address,
        codec: str,
        payload_type: int,
        dtmf_payload_type: int | None,
        *,
        offered_dtmf_payload_type: int | None = None,
        srtp: SrtpKeys | None = None,
        symmetric: bool = True,
        remote_rtcp: Address | None = None,
    ) -> None:
        """Let media flow as the SDP answer says; called again, let it go on as a later answer says.

        The peer takes telephone events with `dtmf_payload_type`, and sends them with that or, when the offer was ours,
        with our `offered_dtmf_payload_type` (RFC 3264 section 5.1).
        `remote` is an IP address and the RTP port; RTCP goes to the next port unless `remote_rtcp` says otherwise.
        With `symmetric`, media goes to where the peer's media comes from. Streams, keys and the locked source survive
        a renegotiation that leaves them as they were.

        Raises:
            ValueError: `remote` is not an IP address, or `codec` neither PCMU nor PCMA.
        """
        if codec not in CODECS:
            raise ValueError("the codec is neither PCMU nor PCMA")
        remote = _canonical(remote)
        self._use_keys(srtp)
        if (self._lock.signalled, self._lock.symmetric) != (remote, symmetric):
            self._lock = SourceLock(remote, symmetric=symmetric, authenticated=srtp is not None)
            self._control_address = _canonical(remote_rtcp) if remote_rtcp else (remote[0], remote[1] + 1)
        self._outbound.negotiate(codec, payload_type, dtmf_payload_type)
        self._inbound.negotiate(codec, payload_type, dtmf_payload_type, offered_dtmf_payload_type)
        self._silent_ticks = 0
        if not self._is_started and not self._is_closed:
            self._is_started = True
            self._ticker.add(self)

    def set_direction(self, direction: Direction) -> None:
        """Hold and resume, from our point of view. While nothing may be sent, queued audio waits; keys are refused."""
        self._sends = direction in {"sendrecv", "sendonly"}
        self._receives = direction in {"sendrecv", "recvonly"}
        self._silent_ticks = 0
        if not self._sends:
            self._outbound.keys.abandon(KeysNotSentError(ON_HOLD))

    def on_audio(self, listener: Callable[[bytes], None]) -> None:
        """Deliver a frame every 20 ms from `start` on: what is heard, concealment or silence."""
        self._audio_listeners.append(listener)

    def on_played_frame(self, listener: Callable[[bytes], None]) -> None:
        """Deliver every frame as it goes out, silence included."""
        self._played_listeners.append(listener)

    def on_dtmf(self, listener: Callable[[str], None]) -> None:
        """Tell each key that the peer presses, once."""
        self._key_listeners.append(listener)

    def on_lost(self, listener: Callable[[], None]) -> None:
        """Tell that neither RTP nor RTCP came for the engine's `media_timeout` although it should, each time anew."""
        self._lost_listeners.append(listener)

    def on_failed(self, listener: Callable[[], None]) -> None:
        """Tell that the media broke at our side and stands still from now on."""
        self._failure_listeners.append(listener)

    def watch_anew(self) -> None:
        """Forget for how long nothing came: only from now on the peer has to send."""
        self._silent_ticks = 0

    def play(self, pcm: bytes) -> None:
        """Queue PCM; what exceeds two minutes is dropped."""
        if self._is_closed:
            return
        dropped_ms = self._outbound.queue.put(pcm)
        if dropped_ms:
            log.warning("rtp.play_queue_full", dropped_ms=dropped_ms)

    def clear(self) -> int:
        """Drop what is queued. Returns its milliseconds; marks fire."""
        return self._outbound.queue.clear()

    def mark(self, on_played: Callable[[], None]) -> None:
        """Call `on_played` when everything queued before was played or dropped."""
        self._outbound.queue.mark(on_played)
        if self._is_closed:
            self._outbound.queue.settle()

    async def send_dtmf(self, digits: str, key_ms: int = KEY_MS) -> None:
        """Press keys (`0-9*#A-D`), each for `key_ms`; returns when they were sent. Harmless once closed.

        Raises:
            ValueError: other keys, or too many wait.
            KeysUnavailableError: no telephone events were negotiated.
            KeysNotSentError: nothing may be sent, or no more before all were.
        """
        if self._is_closed:
            return
        if not self.can_send_dtmf:
            raise KeysUnavailableError
        if not self._sends:
            raise KeysNotSentError(ON_HOLD)
        await self._outbound.keys.press(digits, key_ms)

    def stats(self) -> MediaStats:
        """What was measured so far; still there after `close`."""
        heard = self._inbound
        return MediaStats(
            packets_sent=self._outbound.packets,
            packets_received=heard.received,
            lost=heard.lost,
            late=heard.jitter_buffer.late,
            refused=heard.refused,
            jitter_ms=heard.reception.jitter_ms,
            concealed_ms=heard.jitter_buffer.concealed * 1000 // SAMPLE_RATE,
            round_trip_ms=self._control.round_trip_ms,
            remote_lost=self._control.remote_lost,
            remote_jitter_ms=self._control.remote_jitter_ms,
        )

    async def close(self) -> None:
        """Say BYE, free the ports, fire the marks. Harmless when closed."""
        if self._is_closed:
            return
        self._is_closed = True
        self._ticker.remove(self)
        if self._is_started:
            self._send_control(self._control.build_farewell(*self._reported()))
        for each in self._sockets:
            each.close()
        self._outbound.keys.abandon()
        self._outbound.queue.clear()
        self._on_closed(self)

    def tick(self) -> None:
        """Move on by 20 ms."""
        self._ticks += 1
        self._receive()
        if self._ticks % CONTROL_EVERY_TICKS == 0:
            self._receive_control()
        self._hear()
        self._speak()
        if self._control.is_due():
            self._send_control(self._control.build(*self._reported()))
        self._watch()

    def fail(self) -> None:
        """A listener of this session raised: its media can't go on."""
        for listener in tuple(self._failure_listeners):
            listener()

    def _hear(self) -> None:
        frame = self._inbound.jitter_buffer.take()
        if not self._receives:
            frame = SILENCE_FRAME
        for listener in self._audio_listeners:
            listener(frame)

    def _speak(self) -> None:
        if self._sends:
            packet = self._outbound.next()
            self._sockets.rtp.send(self._srtp.protect(packet) if self._srtp else packet, self._lock.destination)
        else:
            self._outbound.pause()
        for listener in self._played_listeners:
            listener(self._outbound.played)
        self._outbound.queue.settle()

    def _receive(self) -> None:
        for _ in range(MAX_DATAGRAMS_A_TICK):
            datagram = self._sockets.rtp.receive()
            if datagram is None:
                return
            data, sender, arrival = datagram
            opened = self._srtp.open(data) if self._srtp else data
            if opened is None:
                self._inbound.refused += 1
            elif self._inbound.receive(opened, sender, arrival, self._lock):
                self._silent_ticks = 0

    def _receive_control(self) -> None:
        for _ in range(MAX_DATAGRAMS_A_TICK):
            datagram = self._sockets.rtcp.receive()
            if datagram is None:
                return
            data, sender, arrival = datagram
            if sender[0] != self._lock.destination[0]:
                continue
            opened = self._srtp.open_rtcp(data) if self._srtp else data
            if opened is not None and self._control.receive(opened, arrival, self._outbound.ssrc):
                self._silent_ticks = 0
                if self._lock.symmetric:
                    self._control_address = sender

    def _reported(self) -> tuple[Outbound, Inbound, float]:
        return self._outbound, self._inbound, self._clock()

    def _send_control(self, packet: bytes) -> None:
        address = self._control_address
        self._sockets.rtcp.send(self._srtp.protect_rtcp(packet) if self._srtp else packet, address)

    def _watch(self) -> None:
        self._silent_ticks += self._receives
        if self._silent_ticks == self._timeout_ticks:
            self._silent_ticks = 0
            self._tell_lost()

    def _use_keys(self, keys: SrtpKeys | None) -> None:
        if keys is None:
            self._srtp = None
            return
        if self._latest_srtp:
            self._latest_srtp.change(keys)
        else:
            self._latest_srtp = SrtpContext(keys)
        self._srtp = self._latest_srtp

    def _tell_key(self, key: str) -> None:
        for listener in self._key_listeners:
            listener(key)

    def _tell_lost(self) -> None:
        for listener in tuple(self._lost_listeners):
            listener()


def _canonical(address: Address) -> Address:
    return str(ipaddress.ip_address(address[0])), address[1]
