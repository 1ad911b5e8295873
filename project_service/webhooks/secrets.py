"""Signing secrets (Standard Webhooks: `whsec_` and base64), and their encryption at rest."""

import base64
import secrets
from datetime import datetime

from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from standardwebhooks.webhooks import Webhook

SECRET_BYTES = 24


def new_secret() -> str:
    """A fresh signing secret of 192 random bits."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


class SecretBox:
    """Encrypts secrets for the database (Fernet: AES-128-CBC with HMAC-SHA256)."""

    def __init__(self, encryption_keys: str) -> None:
        """`encryption_keys` are separated by commas while the key is changed: the first encrypts, all decrypt."""
        self._fernet = MultiFernet([Fernet(_derive(key)) for key in encryption_keys.split(",")])

    def seal(self, secret: str) -> str:
        return self._fernet.encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """Raises cryptography.fernet.InvalidToken when no key fits."""
        return self._fernet.decrypt(sealed).decode()


def _derive(encryption_key: str) -> bytes:
    kdf = HKDF(SHA256(), length=32, salt=None, info=b"talkstack:project:webhook-secrets")
    return base64.urlsafe_b64encode(kdf.derive(encryption_key.strip().encode()))


def signed_headers(message_id: str, at: datetime, body: str, live_secrets: list[str]) -> dict[str, str]:
    """The headers of one attempt, with a signature by each live secret.

    `at` is in UTC. https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, at, body) for secret in live_secrets),
    }
