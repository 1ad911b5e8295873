"""Session descriptions (RFC 8866) and what of offer/answer (RFC 3264) a G.711 call needs."""

import re
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Literal

from call_service.carriers.rtp import CryptoLine, Direction, SrtpKeys
from call_service.carriers.sip.syntax import SipSyntaxError, number

SrtpPolicy = Literal["off", "optional", "required"]

NOWHERE = "0.0.0.0"  # noqa: S104 # a peer on hold in the way of RFC 2543; nothing is bound to it
MAX_LINES = 400
MAX_MEDIA = 16
PTIME_MS = 20
DTMF_PAYLOAD_TYPE = 101
SECURE, PLAIN = "RTP/SAVP", "RTP/AVP"
CODECS = {"PCMU": 0, "PCMA": 8}

# What we do when the peer does this (RFC 3264, 6.1).
MIRRORED: dict[Direction, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}
_RTPMAP = re.compile(r"(\d{1,3}) ([A-Za-z0-9-]+)/(\d{1,6})(?:/1)?")


class NotAcceptableError(Exception):
    """There is no audio we share with the peer (SIP 488)."""


@dataclass(frozen=True, slots=True)
class Media:
    """One `m=` line with what belongs to it. `codecs` maps names to payload types, in the order of preference."""

    kind: str
    host: str
    port: int
    profile: str
    codecs: dict[str, int]
    direction: Direction = "sendrecv"
    cryptos: tuple[str, ...] = ()
    line: str = ""

    @property
    def is_secure(self) -> bool:
        """Keys were given."""
        return bool(self.cryptos)

    def shared_codec(self) -> str | None:
        """The codec that we speak and the peer likes best."""
        return min((name for name in CODECS if name in self.codecs), key=list(self.codecs).index, default=None)


def parse_sdp(body: bytes) -> list[Media]:
    """The media of a description.

    Raises:
        SipSyntaxError: malformed or larger than we take.
    """
    lines = body.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    if len(lines) > MAX_LINES or not lines[0].startswith("v=0"):
        raise SipSyntaxError("no session description")
    sections: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line.strip())
    session, *media = sections
    if len(media) > MAX_MEDIA:
        raise SipSyntaxError("too many media")
    return [_parse_media(section, session) for section in media]


def _parse_media(section: list[str], session: list[str]) -> Media:
    parts = section[0].removeprefix("m=").split()
    if len(parts) < 4:
        raise SipSyntaxError("a malformed media line")
    kind, port, profile, *formats = parts
    host = _host([*section, *session])
    direction = _direction([*section, *session])
    return Media(
        kind,
        host,
        number(port.partition("/")[0], 65_535),
        profile.upper(),
        _codecs(formats, section),
        # RFC 2543 held by connecting to nowhere.
        "sendonly" if host == NOWHERE and direction == "sendrecv" else direction,
        tuple(line.removeprefix("a=crypto:") for line in section if line.startswith("a=crypto:")),
        section[0],
    )


def _host(lines: list[str]) -> str:
    for line in lines:
        if line.startswith("c="):
            address = line.removeprefix("c=").split()[-1].partition("/")[0]
            try:
                return str(ip_address(address))
            except ValueError:
                raise SipSyntaxError("a connection without an IP address") from None
    return ""


def _direction(lines: list[str]) -> Direction:
    for line in lines:
        for direction in MIRRORED:
            if line == f"a={direction}":
                return direction
    return "sendrecv"


def _codecs(formats: list[str], section: list[str]) -> dict[str, int]:
    names = {number: name for name, number in CODECS.items()}
    for line in section:
        if found := _RTPMAP.fullmatch(line.removeprefix("a=rtpmap:")):
            payload_type, name, rate = int(found[1]), found[2].upper(), found[3]
            names[payload_type] = name if rate == "8000" else f"{name}/{rate}"
    codecs: dict[str, int] = {}
    for payload_type in (int(text) for text in formats if text.isascii() and text.isdigit() and len(text) <= 3):
        if payload_type in names and payload_type < 128:
            codecs.setdefault(names[payload_type], payload_type)
    return codecs


@dataclass(frozen=True, slots=True)
class Agreed:
    """What offer and answer came to: the peer's media, the codec both speak, our key line, the keys of both sides."""

    remote: Media
    codec: str
    crypto: CryptoLine | None
    keys: SrtpKeys | None

    @property
    def payload_type(self) -> int:
        """Of `codec`."""
        return self.remote.codecs[self.codec]

    @property
    def dtmf_payload_type(self) -> int | None:
        """Of RFC 4733 events, if the peer takes them."""
        return self.remote.codecs.get("TELEPHONE-EVENT")


def choose(offered: list[Media], policy: SrtpPolicy) -> Media:
    """The offered media we take: the first audio with a codec of ours, encrypted where both may.

    Raises:
        NotAcceptableError: there is none.
    """
    usable = [one for one in offered if _is_usable(one, policy)]
    if policy == "optional":
        usable.sort(key=lambda one: not one.is_secure)
    if not usable:
        raise NotAcceptableError
    return usable[0]


def _is_usable(media: Media, policy: SrtpPolicy) -> bool:
    profile = media.profile.removesuffix("F")
    is_audio = media.kind == "audio" and media.port > 0 and bool(media.host) and media.shared_codec() is not None
    is_encrypted = profile == SECURE
    if not is_audio or profile not in {PLAIN, SECURE} or (is_encrypted and not media.is_secure):
        return False
    return not is_encrypted if policy == "off" else policy == "optional" or media.is_secure


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """Our side of a description."""

    host: str
    port: int
    session_id: int
    version: int
    direction: Direction = "sendrecv"

    def next(self, direction: Direction) -> "LocalMedia":
        """The next version of the same session (RFC 3264, 8)."""
        return replace(self, version=self.version + 1, direction=direction)

    def offer(self, profile: str, cryptos: tuple[CryptoLine, ...]) -> bytes:
        """Everything we speak; with keys under RTP/AVP it is opportunistic (RFC 8643)."""
        return self._render([self._media(profile, {**CODECS, "TELEPHONE-EVENT": DTMF_PAYLOAD_TYPE}, cryptos)])

    def answer(self, offered: list[Media], agreed: Agreed) -> bytes:
        """One line for each offered one, all but the agreed refused."""
        codecs = {agreed.codec: agreed.payload_type}
        if agreed.dtmf_payload_type is not None:
            codecs["TELEPHONE-EVENT"] = agreed.dtmf_payload_type
        cryptos = (agreed.crypto,) if agreed.crypto else ()
        own = self._media(agreed.remote.profile, codecs, cryptos)
        return self._render([own if one is agreed.remote else [_refused(one)] for one in offered])

    def _media(self, profile: str, codecs: dict[str, int], cryptos: tuple[CryptoLine, ...]) -> list[str]:
        lines = [f"m=audio {self.port} {profile} {' '.join(map(str, codecs.values()))}"]
        for name, payload_type in codecs.items():
            spelled = "telephone-event" if name == "TELEPHONE-EVENT" else name
            lines.append(f"a=rtpmap:{payload_type} {spelled}/8000")
            if name == "TELEPHONE-EVENT":
                lines.append(f"a=fmtp:{payload_type} 0-15")
        return [*lines, f"a=ptime:{PTIME_MS}", *(f"a=crypto:{one}" for one in cryptos), f"a={self.direction}"]

    def _render(self, media: list[list[str]]) -> bytes:
        kind = "IP6" if ":" in self.host else "IP4"
        session = [
            "v=0",
            f"o=- {self.session_id} {self.version} IN {kind} {self.host}",
            "s=-",
            f"c=IN {kind} {self.host}",
            "t=0 0",
        ]
        return "".join(f"{line}\r\n" for line in [*session, *(line for one in media for line in one)]).encode()


def _refused(media: Media) -> str:
    kind, _, *rest = media.line.removeprefix("m=").split()
    return f"m={kind} 0 {' '.join(rest)}"
