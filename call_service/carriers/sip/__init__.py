"""Telephone calls over SIP trunks: our own user agent, its media by `carriers.rtp`."""

from call_service.carriers.sip.carrier import SipCarrier
from call_service.carriers.sip.diagnosis import Step
from call_service.carriers.sip.incoming import IncomingCall
from call_service.carriers.sip.leg import SipLeg
from call_service.carriers.sip.line import TrunkState
from call_service.carriers.sip.tls import server_context
from call_service.carriers.sip.transports import Listener
from call_service.carriers.sip.trunk import Trunk

__all__ = [
    "IncomingCall",
    "Listener",
    "SipCarrier",
    "SipLeg",
    "Step",
    "Trunk",
    "TrunkState",
    "server_context",
]
