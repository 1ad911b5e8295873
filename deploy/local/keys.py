"""Secrets of one installation: made once, kept in files that only their owner can read."""

import base64
import os
import secrets
from pathlib import Path


def secret(directory: Path, name: str) -> str:
    """Return the secret called `name`, 32 random bytes in URL-safe base64; made at the first call."""
    path = directory / name
    if not path.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        draft = directory / f".{name}.{os.getpid()}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        draft.replace(path)  # never half a secret, even when interrupted here
    return path.read_text()
