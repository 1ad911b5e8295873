"""The stream that we send: one packet every 20 ms."""

from random import Random

from call_service.carriers.playout import PlayQueue
from call_service.carriers.port import FRAME_SAMPLES, SILENCE_FRAME
from call_service.carriers.rtp.codec import CODECS
from call_service.carriers.rtp.packet import (
    FRAME_PACKET_BYTES,
    HEADER,
    MARKER,
    SEQUENCE_MODULUS,
    TIMESTAMP_MODULUS,
    VERSION,
)
from call_service.carriers.rtp.telephone_event import KeySender


class Outbound:
    """Turns queued audio and keys into RTP packets; sequence and timestamp go on over every renegotiation.

    While a key is pressed it takes the place of audio, which waits.
    """

    def __init__(self, random: Random) -> None:
        self.ssrc = random.getrandbits(32)
        self.packets = 0
        self.octets = 0
        self.queue = PlayQueue()
        self.keys = KeySender()
        self.played = SILENCE_FRAME
        # Below 2**15: were it about to wrap, a peer that misses the first packets would count the wrap from the wrong
        # side and decrypt nothing (RFC 3711 section 3.3.1).
        self._sequence = random.getrandbits(15)
        self.timestamp = random.getrandbits(32)
        self._is_talking = False
        self._codec = CODECS["PCMU"]
        self._payload_type = 0
        self._event_type: int | None = None
        self._packet = bytearray(FRAME_PACKET_BYTES)

    def negotiate(self, codec: str, payload_type: int, event_type: int | None) -> None:
        """Send with these from the next packet on."""
        self._codec = CODECS[codec]
        self._payload_type = payload_type
        self._event_type = event_type
        if event_type is None:
            self.keys.abandon()

    @property
    def can_press(self) -> bool:
        """Did the peer agree to telephone events?"""
        return self._event_type is not None

    def pause(self) -> None:
        """20 ms pass without a packet; what is queued waits."""
        self._is_talking = False
        self.played = SILENCE_FRAME
        self._advance()

    def next(self) -> bytes | bytearray:
        """The packet of the next 20 ms, valid until the next call; `played` is its audio."""
        packet = self._event_packet() or self._audio_packet()
        self._advance()
        self._sequence = (self._sequence + 1) % SEQUENCE_MODULUS
        self.packets += 1
        self.octets += len(packet) - HEADER.size
        return packet

    def _event_packet(self) -> bytes | None:
        event = self.keys.next(self.timestamp)
        if event is None or self._event_type is None:
            return None
        timestamp, is_first, payload = event
        kind = self._event_type | MARKER * is_first
        self.played = SILENCE_FRAME
        return HEADER.pack(VERSION, kind, self._sequence, timestamp, self.ssrc) + payload

    def _audio_packet(self) -> bytearray:
        self.played = self.queue.take()
        kind = self._payload_type if self._is_talking else self._payload_type | MARKER
        self._is_talking = True
        HEADER.pack_into(self._packet, 0, VERSION, kind, self._sequence, self.timestamp, self.ssrc)
        self._packet[HEADER.size :] = self._codec.encode(self.played)
        return self._packet

    def _advance(self) -> None:
        self.timestamp = (self.timestamp + FRAME_SAMPLES) % TIMESTAMP_MODULUS
