"""Reads the confirmation code from the mail, as the person who signs up does."""

import asyncio
import email
import email.policy
import re
import time
from pathlib import Path

from deploy.demo.api import DemoError

POLL_SECONDS = 0.1


async def wait_for_code(mail_dir: Path, address: str, timeout_seconds: float = 15) -> str:
    """The six digits in the newest mail to `address`.

    Raises:
        DemoError: none came in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if code := await asyncio.to_thread(_find_code, mail_dir, address):
            return code
        await asyncio.sleep(POLL_SECONDS)
    raise DemoError(
        f"No mail with a code came to {mail_dir} within {timeout_seconds:.0f} s. The demo needs the mails as files: "
        "start the stack without SMTP_URL."
    )


def _find_code(mail_dir: Path, address: str) -> str | None:
    for path in sorted(mail_dir.glob("*.eml"), key=lambda path: path.stat().st_mtime, reverse=True)[:50]:
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        body = message.get_body(("plain",))
        if address in str(message["To"]) and body and (found := re.search(r"\b\d{6}\b", body.get_content())):
            return found[0]
    return None
