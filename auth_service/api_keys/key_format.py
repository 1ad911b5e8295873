"""The form of an API key: `tk_live_`, 256 random bits, CRC-32, the numbers in base62.

The prefix lets secret scanners find leaked keys, and the checksum tells a mistyped one without asking the database
(https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/).
"""

import hashlib
import zlib
from string import ascii_lowercase, ascii_uppercase, digits

PREFIX = "tk_live_"
_ALPHABET = digits + ascii_uppercase + ascii_lowercase
_BODY_CHARS = 43  # 62^43 > 2^256
_CHECK_CHARS = 6  # 62^6 > 2^32
KEY_CHARS = len(PREFIX) + _BODY_CHARS + _CHECK_CHARS


def _base62(number: int, width: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 62)
        text = _ALPHABET[digit] + text
    return text.rjust(width, _ALPHABET[0])


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECK_CHARS)


def make_key(entropy: bytes) -> str:
    """The key for 32 random bytes."""
    text = PREFIX + _base62(int.from_bytes(entropy, "big"), _BODY_CHARS)
    return text + _checksum(text)


def is_well_formed(key: str) -> bool:
    """Could this key have been made here?"""
    return (
        len(key) == KEY_CHARS
        and key.startswith(PREFIX)
        and key.isascii()
        and key[-_CHECK_CHARS:] == _checksum(key[:-_CHECK_CHARS])
    )


def key_hash(key: str) -> bytes:
    """What is stored: SHA-256 is enough for 256 bits of randomness, and takes a microsecond."""
    return hashlib.sha256(key.encode()).digest()


def hint(key: str) -> str:
    """Enough to recognise a key in a list."""
    return f"{PREFIX}…{key[-4:]}"
