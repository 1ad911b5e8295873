"""SRTP (RFC 3711) by libsrtp: one context for what is sent, one for what comes."""

from dataclasses import dataclass, field

import pylibsrtp

PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
}
KEY_BYTES = 30


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """Master key and salt of both directions, 30 bytes each: `local` for what we send."""

    suite: str  # a key of `PROFILES`
    local: bytes = field(repr=False)
    remote: bytes = field(repr=False)


class SrtpContext:
    """Protects and opens the RTP and RTCP of one session."""

    def __init__(self, keys: SrtpKeys) -> None:
        self._keys = keys
        self._out = _outbound(keys)
        self._in = _inbound(keys)

    def change(self, keys: SrtpKeys) -> None:
        """Go on with these keys.

        A direction whose key stays keeps its roll-over counter and replay list: from zero again, the peer could not
        follow, and the same keystream would cover other audio (RFC 3711 section 9.1).
        """
        before, self._keys = self._keys, keys
        if (keys.suite, keys.local) != (before.suite, before.local):
            self._out = _outbound(keys)
        if (keys.suite, keys.remote) != (before.suite, before.remote):
            self._in = _inbound(keys)

    def protect(self, packet: bytes | bytearray) -> bytes:
        """Encrypt and sign an RTP packet."""
        return self._out.protect(bytes(packet))

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Encrypt and sign an RTCP packet."""
        return self._out.protect_rtcp(packet)

    def open(self, packet: bytes) -> bytes | None:
        """The RTP packet inside; None for what is forged, replayed or broken."""
        try:
            return self._in.unprotect(packet)
        except pylibsrtp.Error:
            return None

    def open_rtcp(self, packet: bytes) -> bytes | None:
        """The RTCP packet inside; None for what is forged, replayed or broken."""
        try:
            return self._in.unprotect_rtcp(packet)
        except pylibsrtp.Error:
            return None


def _outbound(keys: SrtpKeys) -> pylibsrtp.Session:
    policy = pylibsrtp.Policy
    return pylibsrtp.Session(policy(keys.local, policy.SSRC_ANY_OUTBOUND, srtp_profile=PROFILES[keys.suite]))


def _inbound(keys: SrtpKeys) -> pylibsrtp.Session:
    policy = pylibsrtp.Policy
    return pylibsrtp.Session(policy(keys.remote, policy.SSRC_ANY_INBOUND, srtp_profile=PROFILES[keys.suite]))
