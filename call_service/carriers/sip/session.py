"""A call after its answer: what either side may do within the dialog."""

from typing import Protocol

from call_service.carriers.port import Cause, Ended, KeysNotSentError
from call_service.carriers.sip.agent import ABOUT_US, ALLOW, UserAgent, unsupported_by_us
from call_service.carriers.sip.dialog import Dialog
from call_service.carriers.sip.digest import Credentials
from call_service.carriers.sip.dtmf_info import CONTENT_TYPE, digit_of, info_body
from call_service.carriers.sip.flow import Flow
from call_service.carriers.sip.media import Negotiator
from call_service.carriers.sip.message import Request, respond
from call_service.carriers.sip.modification import Modifications
from call_service.carriers.sip.refer import ACCEPTED, DECLINED, Referral, Transfer, notify_body, notify_headers
from call_service.carriers.sip.server_transactions import ServerTransaction
from call_service.carriers.sip.syntax import NameAddr, SipSyntaxError


class SessionOwner(Protocol):
    """Who hears what happens to the call."""

    def ended(self, session: "Session", ended: Ended) -> None:
        """It is over; told once, and not to who hung up itself."""

    def pressed(self, digit: str) -> None:
        """A key came in an INFO."""

    def referred(self, referral: Referral) -> bool:
        """The peer asks for another party; False declines."""


class Session:
    """An answered call. Register it with the agent under the dialog's identifiers; `hang_up` takes it out again."""

    def __init__(
        self,
        agent: UserAgent,
        dialog: Dialog,
        negotiator: Negotiator,
        credentials: Credentials | None,
        owner: SessionOwner,
        *,
        is_caller: bool,
    ) -> None:
        self.dialog = dialog
        self.modifications = Modifications(
            agent, dialog, negotiator, credentials, lambda: self.hang_up(Cause.MEDIA_LOST), is_caller=is_caller
        )
        self._agent = agent
        self._credentials = credentials
        self._owner = owner
        self._transfer = Transfer(agent, dialog, credentials)
        self.is_over = False
        self._handlers = {
            "INVITE": self._modify,
            "UPDATE": self._modify,
            "BYE": self._receive_bye,
            "INFO": self._receive_info,
            "OPTIONS": self._receive_options,
            "NOTIFY": self._receive_notify,
            "REFER": self._receive_refer,
        }

    @property
    def flow(self) -> Flow:
        return self.dialog.flow

    def receive(self, request: Request, transaction: ServerTransaction) -> None:
        """A request within the dialog."""
        handler = self._handlers.get(request.method)
        if self.is_over or not self.dialog.is_from_peer(request):
            transaction.respond(respond(request, 481))
        elif not self.dialog.is_in_order(request):
            transaction.respond(respond(request, 500))
        elif handler is None:
            transaction.respond(respond(request, 405, headers=(ALLOW,)))
        elif unsupported := unsupported_by_us(request):
            transaction.respond(respond(request, 420, headers=unsupported))
        else:
            handler(request, transaction)

    def acknowledged(self, ack: Request) -> None:
        """The ACK of a 2xx."""
        if self.dialog.is_from_peer(ack):
            self.modifications.acknowledged(ack)

    def hang_up(self, cause: str | None = None) -> None:
        """End it with a BYE; the owner hears of it when there is a `cause`."""
        if self.is_over:
            return
        self._stop()
        self._agent.spawn(self._bye())
        if cause:
            self._owner.ended(self, Ended(cause))

    async def press(self, digits: str, key_ms: int) -> None:
        """Press keys by INFO, for peers without RFC 4733.

        Raises:
            KeysNotSentError: the peer refused one; the rest was not sent.
        """
        for digit in digits:
            headers = (("Content-Type", CONTENT_TYPE),)
            body = info_body(digit, key_ms)
            response = await self._agent.in_dialog(self.dialog, "INFO", self._credentials, headers, body)
            if not response.is_success:
                raise KeysNotSentError(f"sip_{response.status}")

    async def transfer(self, target: str) -> None:
        """Send the peer to the URI `target`; the call ends when it talks with it.

        Raises:
            TransferFailedError: it does not; the call goes on.
        """
        await self._transfer.run(target)
        self.hang_up(Cause.TRANSFERRED)

    async def _bye(self) -> None:
        await self._agent.in_dialog(self.dialog, "BYE", self._credentials)
        self._forget()

    def _stop(self) -> None:
        self.is_over = True
        self.modifications.stop()
        self._transfer.call_ended()

    def _forget(self) -> None:
        self._agent.forget(self.dialog.call_id, self.dialog.local.tag)

    def _modify(self, request: Request, transaction: ServerTransaction) -> None:
        self.modifications.receive(request, transaction)

    def _receive_bye(self, request: Request, transaction: ServerTransaction) -> None:
        transaction.respond(respond(request, 200))
        self._stop()
        self._forget()
        self._owner.ended(self, Ended(Cause.TRANSFERRED if self._transfer.has_succeeded else Cause.CALLEE_HUNG_UP))

    def _receive_info(self, request: Request, transaction: ServerTransaction) -> None:
        digit = digit_of(request)
        transaction.respond(respond(request, 200 if digit or not request.body else 415))
        if digit:
            self._owner.pressed(digit)

    @staticmethod
    def _receive_options(request: Request, transaction: ServerTransaction) -> None:
        transaction.respond(respond(request, 200, headers=ABOUT_US))

    def _receive_notify(self, request: Request, transaction: ServerTransaction) -> None:
        transaction.respond(respond(request, 200 if self._transfer.notified(request) else 489))

    def _receive_refer(self, request: Request, transaction: ServerTransaction) -> None:
        try:
            target = NameAddr.parse(request.get("Refer-To") or "").uri
        except SipSyntaxError:
            transaction.respond(respond(request, 400))
            return
        is_taken = self._owner.referred(Referral(target, self._report))
        contact = self._agent.contact(self.dialog.flow)
        transaction.respond(respond(request, ACCEPTED if is_taken else DECLINED, headers=(contact,)))
        if is_taken:
            self._report(100)

    def _report(self, status: int) -> None:
        if not self.is_over:
            headers = (self._agent.contact(self.dialog.flow), *notify_headers(status))
            self._agent.spawn(self._notify(headers, notify_body(status)))

    async def _notify(self, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        await self._agent.in_dialog(self.dialog, "NOTIFY", self._credentials, headers, body)
