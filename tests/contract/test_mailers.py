"""What every mailer promises: the mail arrives as it was written, or MailFailedError. SMTP speaks to a real server."""

import asyncio
import base64
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest

from auth_service.mail.files import FileMailer
from auth_service.mail.memory import MemoryMailer
from auth_service.mail.port import Mail, Mailer, MailFailedError, to_message
from auth_service.mail.smtp import SmtpMailer
from shared.clock import SystemClock

SENDER = "Talkstack <no-reply@talkstack.example>"
MAIL = Mail("ada@example.com", "Your code, für Ada", "The code is 493027\n\n.A line that begins with a dot\nÜber.\n")


@dataclass
class SmtpServer:
    """As much of RFC 5321 as a client needs; keeps what it was given."""

    received: list[bytes] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    refusal: bytes = b""
    port: int = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        while line := await reader.readline():
            word = line.split()[0].upper()
            if word == b"DATA":
                writer.write(b"354 go\r\n")
                data = await reader.readuntil(b"\r\n.\r\n")
                self.received.append(data.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n."))
            elif word == b"AUTH":
                self.logins.append(base64.b64decode(line.split()[2]).decode())
            writer.write({b"EHLO": b"250-test\r\n250 AUTH PLAIN\r\n", b"RCPT": self.refusal}.get(word) or b"250 ok\r\n")
            if word == b"QUIT":
                break
        writer.close()


@dataclass
class Case:
    mailer: Mailer
    arrived: Callable[[], list[EmailMessage]]
    break_it: Callable[[], Awaitable[None]]


def _parsed(raw: bytes) -> EmailMessage:
    return cast(EmailMessage, message_from_bytes(raw, policy=policy.default))


@pytest.fixture
async def smtp_server() -> AsyncIterator[SmtpServer]:
    known = SmtpServer()
    server = await asyncio.start_server(known.talk, "127.0.0.1", 0)
    known.port = server.sockets[0].getsockname()[1]
    yield known
    server.close()
    await server.wait_closed()


@pytest.fixture(params=["memory", "files", "smtp"])
def case(request: pytest.FixtureRequest, smtp_server: SmtpServer, tmp_path: Path) -> Case:
    if request.param == "memory":
        memory = MemoryMailer()

        async def take_down() -> None:
            memory.is_down = True

        return Case(memory, lambda: [_parsed(bytes(to_message(mail, SENDER))) for mail in memory.sent], take_down)
    if request.param == "files":
        directory = tmp_path / "mail"

        async def put_a_file_in_its_place() -> None:
            directory.touch()

        files = FileMailer(directory, SENDER, SystemClock())
        return Case(
            files, lambda: [_parsed(path.read_bytes()) for path in directory.glob("*")], put_a_file_in_its_place
        )

    async def refuse() -> None:
        smtp_server.refusal = b"550 no such mailbox\r\n"

    smtp = SmtpMailer(f"smtp://127.0.0.1:{smtp_server.port}", SENDER)
    return Case(smtp, lambda: [_parsed(raw) for raw in smtp_server.received], refuse)


async def test_a_mail_arrives_as_it_was_written(case: Case) -> None:
    await case.mailer.send(MAIL)
    [message] = case.arrived()
    assert (message["From"], message["To"], message["Subject"]) == (SENDER, MAIL.recipient, MAIL.subject)
    assert message.get_content().replace("\r\n", "\n") == MAIL.text
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@talkstack.example>")
    assert message["Date"].datetime.tzinfo is not None


async def test_a_mail_that_is_not_taken_is_an_error(case: Case) -> None:
    await case.break_it()
    with pytest.raises(MailFailedError):
        await case.mailer.send(MAIL)


def _names_and_modes(directory: Path) -> tuple[list[str], set[int]]:
    paths = sorted(directory.iterdir())
    return [path.name for path in paths], {stat.S_IMODE(path.stat().st_mode) for path in paths}


async def test_files_are_private_sort_by_time_and_name_the_recipient(tmp_path: Path) -> None:
    mailer = FileMailer(tmp_path, SENDER, SystemClock())
    for number in range(3):
        await mailer.send(Mail(f"user{number}/../x@example.com", "subject", "text"))
    names, modes = _names_and_modes(tmp_path)
    assert [name.split("Z-")[1] for name in names] == [f"user{number}_.._x@example.com.eml" for number in range(3)]
    assert modes == {0o600}


async def test_a_server_that_is_not_there_is_an_error(smtp_server: SmtpServer) -> None:
    with pytest.raises(MailFailedError):
        await SmtpMailer("smtp://127.0.0.1:1", SENDER).send(MAIL)


async def test_a_password_is_not_sent_in_clear(smtp_server: SmtpServer) -> None:
    """The server offers no STARTTLS, so nothing is sent at all."""
    with pytest.raises(MailFailedError):
        await SmtpMailer(f"smtp://ada:secret@127.0.0.1:{smtp_server.port}", SENDER).send(MAIL)
    assert (smtp_server.logins, smtp_server.received) == ([], [])


@pytest.mark.parametrize("url", ["http://mail.example.com", "mail.example.com", "smtp://"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="SMTP_URL"):
        SmtpMailer(url, SENDER)
