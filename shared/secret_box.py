"""Keeps secrets at rest: everything is derived from one key of the settings, apart for each purpose."""

import base64
import hmac
import secrets
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12


class SecretBox:
    """AES-256-GCM and HMAC-SHA256 with keys of one purpose, so that what one module sealed no other can open.

    `encryption_keys` are separated by commas while the key is changed: the first seals and hashes, all open and
    recognise hashes.
    """

    def __init__(self, encryption_keys: str, purpose: str) -> None:
        """`purpose` is `service:use`; changing it makes what was sealed unreadable."""
        keys = encryption_keys.split(",")
        self._sealing = [AESGCM(_derive(key, f"{purpose}:seal")) for key in keys]
        self._hashing = [_derive(key, f"{purpose}:hash") for key in keys]

    def seal(self, plain: bytes) -> bytes:
        """Nonce and ciphertext; the random nonce is safe for 2^32 messages (NIST SP 800-38D, 8.3)."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._sealing[0].encrypt(nonce, plain, None)

    def open(self, sealed: bytes) -> bytes:
        """Raises InvalidTag when no key fits or the text was changed."""
        for key in self._sealing:
            with suppress(InvalidTag):
                return key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        raise InvalidTag

    def seal_text(self, plain: str) -> str:
        """The same for a column of text, in base64url."""
        return base64.urlsafe_b64encode(self.seal(plain.encode())).decode()

    def open_text(self, sealed: str) -> str:
        """Raises InvalidTag, as `open`."""
        return self.open(base64.urlsafe_b64decode(sealed)).decode()

    def hash(self, *parts: str) -> bytes:
        """A keyed hash: short secrets and addresses can't be guessed from a stolen database."""
        return self.hashes(*parts)[0]

    def hashes(self, *parts: str) -> list[bytes]:
        """`hash` with each of the keys, to recognise what was hashed before the key was changed."""
        return [hmac.digest(key, "\0".join(parts).encode(), "sha256") for key in self._hashing]


def _derive(encryption_key: str, info: str) -> bytes:
    kdf = HKDF(SHA256(), length=32, salt=None, info=f"talkstack:{info}".encode())
    return kdf.derive(encryption_key.strip().encode())
