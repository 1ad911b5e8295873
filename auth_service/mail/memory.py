"""Mail that stays in the process, for tests."""

from auth_service.mail.port import Mail, MailFailedError


class MemoryMailer:
    """Keeps what was sent; fails while `is_down`."""

    def __init__(self) -> None:
        self.sent: list[Mail] = []
        self.is_down = False

    async def send(self, mail: Mail) -> None:
        if self.is_down:
            raise MailFailedError
        self.sent.append(mail)
