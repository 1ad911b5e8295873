"""Mail by SMTP."""

from urllib.parse import unquote, urlsplit

import aiosmtplib

from auth_service.mail.port import Mail, MailFailedError, to_message

TIMEOUT_SECONDS = 20.0


class SmtpMailer:
    """`smtp://[user:password@]host[:port]` (STARTTLS) or `smtps://…` (TLS from the first byte)."""

    def __init__(self, url: str, sender: str) -> None:
        """Raises ValueError when the URL is neither."""
        parts = urlsplit(url)
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
            raise ValueError("SMTP_URL must be smtp://host or smtps://host")
        self._sender = sender
        self._host = parts.hostname
        self._is_tls = parts.scheme == "smtps"
        # A password never crosses the wire in clear; without one, TLS is taken where it is offered (None).
        self._start_tls = False if self._is_tls else bool(parts.username) or None
        self._port = parts.port or (465 if self._is_tls else 587)
        self._username = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None

    async def send(self, mail: Mail) -> None:
        try:
            await aiosmtplib.send(
                to_message(mail, self._sender),
                hostname=self._host,
                port=self._port,
                username=self._username,
                password=self._password,
                use_tls=self._is_tls,
                start_tls=self._start_tls,
                timeout=TIMEOUT_SECONDS,
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailFailedError(type(error).__name__) from error
