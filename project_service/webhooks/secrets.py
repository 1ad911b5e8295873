"""Signing secrets (Standard Webhooks: `whsec_` and base64)."""

import base64
import secrets

SECRET_BYTES = 24


def new_secret() -> str:
    """A fresh signing secret of 192 random bits."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
