"""Call transfer: REFER (RFC 3515) with its NOTIFYs, both ways."""

import asyncio
import re
from collections.abc import Callable

from call_service.carriers.port import TransferFailedError
from call_service.carriers.sip.agent import UserAgent
from call_service.carriers.sip.dialog import Dialog
from call_service.carriers.sip.digest import Credentials
from call_service.carriers.sip.message import Headers, Request, reason_of

TRANSFER_SECONDS = 60.0
ACCEPTED = 202
DECLINED = 603
TIMED_OUT = 408

_FRAGMENT = re.compile(rb"SIP/2\.0 ([1-6]\d\d)")


class Transfer:
    """Asks the peer to call somebody else, and waits for what becomes of it."""

    def __init__(self, agent: UserAgent, dialog: Dialog, credentials: Credentials | None) -> None:
        self._agent = agent
        self._dialog = dialog
        self._credentials = credentials
        self._outcome: asyncio.Future[int] | None = None

    async def run(self, target: str) -> None:
        """Send the peer to the URI `target`; returns when it talks with it.

        Raises:
            TransferFailedError: refused, failed, or unknown after a minute.
        """
        if self._outcome:
            raise TransferFailedError(491)
        self._outcome = asyncio.get_running_loop().create_future()
        timer = self._agent.timers.after(TRANSFER_SECONDS, lambda: self._settle(TIMED_OUT))
        try:
            status = await self._refer(target)
        finally:
            timer.cancel()
            self._outcome = None
        if status >= 300:
            raise TransferFailedError(status)

    async def _refer(self, target: str) -> int:
        assert self._outcome
        headers: Headers = (
            self._agent.contact(self._dialog.flow),
            ("Refer-To", f"<{target}>"),
            ("Referred-By", f"<{self._dialog.local.uri}>"),
        )
        response = await self._agent.in_dialog(self._dialog, "REFER", self._credentials, headers)
        return await self._outcome if response.is_success else response.status

    def notified(self, request: Request) -> bool:
        """Whether a NOTIFY is about this transfer."""
        event = (request.get("Event") or "").partition(";")[0].strip().lower()
        if self._outcome is None or event != "refer":
            return False
        found = _FRAGMENT.match(request.body)
        status = int(found[1]) if found else 0
        is_last = (request.get("Subscription-State") or "").lower().startswith("terminated")
        if status >= 200 or is_last:
            # Ended without a result: nobody says that it failed, nobody that it did not.
            self._settle(status if status >= 200 else TIMED_OUT)
        return True

    @property
    def has_succeeded(self) -> bool:
        """Whether the peer told that it talks with the target: it may leave before `run` returns."""
        return self._outcome is not None and self._outcome.done() and self._outcome.result() < 300

    def call_ended(self) -> None:
        """The peer hung up: it left for the target, or for good."""
        self._settle(TIMED_OUT)

    def _settle(self, status: int) -> None:
        if self._outcome and not self._outcome.done():
            self._outcome.set_result(status)


class Referral:
    """The peer asks us to call `target`, a URI. `report` tells it what becomes of that."""

    def __init__(self, target: str, report: Callable[[int], None]) -> None:
        self.target = target
        self.report = report


def notify_headers(status: int) -> Headers:
    """Of the NOTIFY that reports `status`; a final one ends the implicit subscription."""
    state = "active;expires=60" if status < 200 else "terminated;reason=noresource"
    return (("Event", "refer"), ("Subscription-State", state), ("Content-Type", "message/sipfrag;version=2.0"))


def notify_body(status: int) -> bytes:
    """The status line (RFC 3515, 2.4.5)."""
    return f"SIP/2.0 {status} {reason_of(status)}\r\n".encode()
