"""The codecs every telephone network speaks."""

from collections.abc import Callable
from typing import NamedTuple

from call_service.carriers import g711


class Codec(NamedTuple):
    """PCM to payload and back; one payload byte a sample. `payload_type` is the static one of RFC 3551."""

    payload_type: int
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes]


CODECS = {
    "PCMU": Codec(0, g711.encode, g711.decode),
    "PCMA": Codec(8, g711.encode_alaw, g711.decode_alaw),
}
