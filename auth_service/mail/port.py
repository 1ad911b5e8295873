"""The port to the outside for mail. Adapters: SMTP, files, memory; `tests/contract/test_mailers.py` checks all."""

from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Mail:
    """A plain-text mail to one person."""

    recipient: str
    subject: str
    text: str


class MailFailedError(Exception):
    """The mail was not taken; another try may succeed."""


class Mailer(Protocol):
    """Hands mail over."""

    async def send(self, mail: Mail) -> None:
        """Returns when the mail is in somebody else's care.

        Raises:
            MailFailedError: it is not.
        """


def to_message(mail: Mail, sender: str) -> EmailMessage:
    """RFC 5322, marked as written by a machine (RFC 3834) so that nobody's absence note answers."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = mail.recipient
    message["Subject"] = mail.subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain=parseaddr(sender)[1].rpartition("@")[2] or "localhost")
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    return message
