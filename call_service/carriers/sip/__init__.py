"""Telephone calls over SIP trunks: our own user agent, its media by `carriers.rtp`."""

from call_service.carriers.sip.carrier import SipCarrier
from call_service.carriers.sip.incoming import CallGoneError, CallRefusedError, IncomingCall
from call_service.carriers.sip.ladder import LadderEntry
from call_service.carriers.sip.leg import SipLeg
from call_service.carriers.sip.line import TrunkState
from call_service.carriers.sip.pcap import capture
from call_service.carriers.sip.refer import TransferFailedError
from call_service.carriers.sip.tls import server_context
from call_service.carriers.sip.transports import Listener
from call_service.carriers.sip.trunk import Trunk

__all__ = [
    "CallGoneError",
    "CallRefusedError",
    "IncomingCall",
    "LadderEntry",
    "Listener",
    "SipCarrier",
    "SipLeg",
    "TransferFailedError",
    "Trunk",
    "TrunkState",
    "capture",
    "server_context",
]
