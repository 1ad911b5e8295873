"""Mail as `.eml` files, for an installation without a mail server."""

import asyncio
import os
import re
from datetime import UTC
from pathlib import Path

from auth_service.mail.port import Mail, MailFailedError, to_message
from shared.clock import Clock
from shared.ids import new_id


class FileMailer:
    """One file a mail, readable by its owner only; names sort by time and end in the recipient."""

    def __init__(self, directory: Path, sender: str, clock: Clock) -> None:
        self._directory = directory
        self._sender = sender
        self._clock = clock

    async def send(self, mail: Mail) -> None:
        moment = self._clock.now().astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        recipient = re.sub(r"[^\w.@+-]", "_", mail.recipient)[:100]
        try:
            await asyncio.to_thread(self._write, f"{moment}-{recipient}.eml", bytes(to_message(mail, self._sender)))
        except OSError as error:
            raise MailFailedError(str(error)) from error

    def _write(self, name: str, content: bytes) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        draft = self._directory / f".{new_id()}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        draft.replace(self._directory / name)
