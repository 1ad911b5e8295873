"""SRTP keys in SDP: the value of an `a=crypto` line (RFC 4568)."""

import base64
import binascii
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from call_service.carriers.rtp.srtp import KEY_BYTES, PROFILES, SrtpKeys

# The one session parameter that changes nothing for us: the peer's replay window.
HARMLESS_PARAMETER = "WSH="


class NoCommonCryptoError(Exception):
    """None of the offered SRTP keys can be used."""


@dataclass(frozen=True, slots=True)
class CryptoLine:
    """One key on offer, for what its author sends: 30 bytes of master key and salt."""

    tag: int
    suite: str
    key: bytes = field(repr=False)

    @classmethod
    def generate(cls, tag: int, suite: str) -> "CryptoLine":
        """A line with a fresh random key."""
        return cls(tag, suite, secrets.token_bytes(KEY_BYTES))

    @classmethod
    def parse(cls, value: str) -> "CryptoLine":
        """Read what follows `a=crypto:`.

        Raises:
            ValueError: it is malformed, or asks for what we don't speak (other suites, MKI, several keys, parameters).
        """
        tag, suite, key_parameter, *parameters = value.split()
        if suite not in PROFILES or not all(each.startswith(HARMLESS_PARAMETER) for each in parameters):
            raise ValueError("unsupported SRTP suite or session parameter")
        return cls(int(tag), suite, _key(key_parameter))

    def __str__(self) -> str:
        return f"{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode()}"


def generate_crypto() -> list[CryptoLine]:
    """Fresh keys for a call, the stronger suite first."""
    return [CryptoLine.generate(tag, suite) for tag, suite in enumerate(PROFILES, 1)]


def choose_crypto(ours: Iterable[CryptoLine], theirs: Iterable[str], *, is_answer: bool) -> tuple[CryptoLine, SrtpKeys]:
    """Match our lines with those of the peer, best of theirs first: our line of the answer, and the session's keys.

    `is_answer`: theirs is the answer to ours, and repeats the tag of the one it took; otherwise ours repeats theirs.

    Raises:
        NoCommonCryptoError: no line of theirs goes with one of ours.
    """
    by_suite = {line.suite: line for line in ours}
    for their in _usable(theirs):
        our = by_suite.get(their.suite)
        if our and (not is_answer or our.tag == their.tag):
            return replace(our, tag=their.tag), SrtpKeys(our.suite, local=our.key, remote=their.key)
    raise NoCommonCryptoError


def _usable(values: Iterable[str]) -> Iterator[CryptoLine]:
    for value in values:
        try:
            yield CryptoLine.parse(value)
        except ValueError:
            continue


def _key(parameter: str) -> bytes:
    method, _, info = parameter.partition(":")
    encoded, *lifetime_and_mki = info.split("|")
    if method != "inline" or any(":" in part for part in lifetime_and_mki) or ";" in info:
        raise ValueError("only one inline key without MKI is supported")
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError("the SRTP key is not base64") from error
    if len(key) != KEY_BYTES:
        raise ValueError("the SRTP key has another length")
    return key
