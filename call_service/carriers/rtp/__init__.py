"""RTP media of telephone calls: G.711, RTCP, telephone events and SRTP over UDP."""

from call_service.carriers.rtp.engine import RtpEngine
from call_service.carriers.rtp.sdes import (
    CryptoLine,
    NoCommonCryptoError,
    choose_crypto,
    generate_crypto,
)
from call_service.carriers.rtp.session import Direction, KeysUnavailableError, RtpSession
from call_service.carriers.rtp.sockets import PortsExhaustedError
from call_service.carriers.rtp.srtp import SrtpKeys
from call_service.carriers.rtp.stats import MediaStats

__all__ = [
    "CryptoLine",
    "Direction",
    "KeysUnavailableError",
    "MediaStats",
    "NoCommonCryptoError",
    "PortsExhaustedError",
    "RtpEngine",
    "RtpSession",
    "SrtpKeys",
    "choose_crypto",
    "generate_crypto",
]
