"""The stream that we hear: datagrams in, a frame of audio every 20 ms."""

from collections.abc import Callable

from call_service.carriers.rtp.codec import CODECS
from call_service.carriers.rtp.jitter import JitterBuffer
from call_service.carriers.rtp.packet import parse
from call_service.carriers.rtp.reception import Reception
from call_service.carriers.rtp.source import Address, SourceLock
from call_service.carriers.rtp.telephone_event import KeyReceiver


class Inbound:
    """Sorts the packets of one peer into audio, keys and what is refused.

    Static payload types are understood whatever was negotiated: peers change between PCMU and PCMA unasked.
    """

    def __init__(self, on_key: Callable[[str], None]) -> None:
        self.reception = Reception()
        self.jitter_buffer = JitterBuffer()
        self.refused = 0
        self._received_before = 0
        self._lost_before = 0
        self._on_key = on_key
        self._keys = KeyReceiver()
        self.ssrc: int | None = None
        self.negotiate("PCMU", CODECS["PCMU"].payload_type)

    @property
    def received(self) -> int:
        """Packets of all streams so far, without repetitions."""
        return self._received_before + self.reception.received

    @property
    def lost(self) -> int:
        """Packets of all streams that did not come."""
        return self._lost_before + max(0, self.reception.lost)

    def negotiate(self, codec: str, payload_type: int, *event_types: int | None) -> None:
        """Understand these payload types from now on."""
        self._decoders = {each.payload_type: each.decode for each in CODECS.values()}
        self._decoders[payload_type] = CODECS[codec].decode
        self._event_types = event_types

    def receive(self, data: bytes, sender: Address, arrival: float, lock: SourceLock) -> bool:
        """Take in a datagram, decrypted; False for what is not of the peer's stream."""
        packet = parse(data)
        if packet is None or not lock.accepts(sender, packet.ssrc, packet.sequence):
            self.refused += 1
            return False
        if packet.ssrc != self.ssrc:
            self._begin(packet.ssrc)
        if not self.reception.count(packet.sequence):
            return True
        decode = self._decoders.get(packet.payload_type)
        if decode is not None:
            self.reception.time(packet.timestamp, arrival)
            self.jitter_buffer.put(packet.timestamp, decode(packet.payload))
        elif packet.payload_type in self._event_types:
            self._receive_event(packet.timestamp, packet.payload)
        return True

    def _receive_event(self, timestamp: int, payload: bytes) -> None:
        key = self._keys.receive(timestamp, payload)
        if key is not None:
            self._on_key(key)

    def _begin(self, ssrc: int) -> None:
        self.ssrc = ssrc
        self._keys = KeyReceiver()
        self._received_before, self._lost_before = self.received, self.lost
        self.reception = Reception()
