"""One INVITE to one target, until nothing of it can come back any more."""

import asyncio
from collections.abc import Callable

import structlog

from call_service.carriers.sip.agent import MAX_CHALLENGES, UserAgent
from call_service.carriers.sip.dialog import Dialog
from call_service.carriers.sip.digest import Credentials
from call_service.carriers.sip.flow import Flow
from call_service.carriers.sip.message import Headers, NoResponse, Request, Response
from call_service.carriers.sip.session_timer import DEFAULT_SECONDS, min_se, request_headers
from call_service.carriers.sip.timers import TRANSACTION_TIMEOUT
from call_service.carriers.sip.transports import TransportError

log = structlog.get_logger()

MAX_FORKS = 16


class Attempt:
    """`final` is the final response, `heard` turns True with the first of any kind.

    Every 2xx is acknowledged, also repeated ones and those of other branches of a fork (RFC 3261, 13.2.2.4): one call
    is wanted, the others get a BYE, and so does one that was answered while it was cancelled.
    """

    def __init__(
        self,
        agent: UserAgent,
        request: Request,
        flow: Flow,
        credentials: Credentials | None,
        on_progress: Callable[[Response], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.final: asyncio.Future[Response] = loop.create_future()
        self.heard: asyncio.Future[bool] = loop.create_future()
        self.flow = flow
        self._agent = agent
        self._credentials = credentials
        self._on_progress = on_progress
        self.is_cancelled = False
        self._acks: dict[str, tuple[Request, Flow] | None] = {}
        self._transaction = agent.transactions.request(request, flow, self._receive)

    @property
    def request(self) -> Request:
        """As it was sent."""
        return self._transaction.request

    def cancel(self) -> None:
        """Give it up: CANCEL, at once or as soon as that is allowed (9.1)."""
        if self.is_cancelled:
            return
        self.is_cancelled = True
        if self.heard.done() and not self.final.done():
            self._send_cancel()

    def give_up_if_silent(self) -> None:
        """Report a time-out now if nothing was heard; what still comes is cancelled or hung up."""
        if not self.heard.done() and not self.final.done():
            self.cancel()
            self._settle(NoResponse(self.request, 408))

    def decline(self, response: Response) -> None:
        """Acknowledge a 2xx nobody waits for any more, and hang up."""
        self._agent.spawn(self._decline(response))

    def acknowledge(self, response: Response, dialog: Dialog) -> None:
        """Send the ACK for a 2xx, and again whenever it is repeated."""
        if flow := self._agent.direct_route(dialog):
            self._send_ack(response.to.tag, dialog, flow)
        else:
            self._agent.spawn(self._find_way_and_acknowledge(response.to.tag, dialog))

    def _receive(self, response: Response) -> None:
        is_first = not self.heard.done()
        if is_first and not isinstance(response, NoResponse):
            self.heard.set_result(True)
        if response.is_success:
            self._succeed(response)
        elif response.is_final:
            self._settle(response)
        elif not self.is_cancelled:
            self._on_progress(response)
        elif is_first:
            self._send_cancel()

    def _settle(self, response: Response) -> None:
        if not self.final.done():
            self.final.set_result(response)

    def _succeed(self, response: Response) -> None:
        tag = response.to.tag
        if tag in self._acks:
            if known := self._acks[tag]:
                self._agent.send(*known)
            return
        if len(self._acks) >= MAX_FORKS:
            return
        self._acks[tag] = None
        if self.is_cancelled or self.final.done():
            self.decline(response)
            self._settle(NoResponse(self.request, 487))
        else:
            self._settle(response)

    async def _find_way_and_acknowledge(self, tag: str, dialog: Dialog) -> None:
        try:
            flow = await self._agent.route(dialog)
        except TransportError:
            log.warning("sip.ack_has_no_way")
        else:
            self._send_ack(tag, dialog, flow)

    def _send_ack(self, tag: str, dialog: Dialog, flow: Flow) -> None:
        authorization: Headers = tuple(one for one in self.request.headers if one[0].endswith("Authorization"))
        ack = dialog.request("ACK", authorization, cseq=self.request.cseq)
        ack = ack.via_added(self._agent.transactions.via(flow))
        self._acks[tag] = ack, flow
        self._agent.send(ack, flow)

    async def _decline(self, response: Response) -> None:
        dialog = Dialog.of_caller(self.request, response, self.flow)
        await self._find_way_and_acknowledge(response.to.tag, dialog)
        await self._agent.in_dialog(dialog, "BYE", self._credentials)

    def _send_cancel(self) -> None:
        self._agent.transactions.request(
            self.request.derived("CANCEL"), self.flow, lambda _response: None, is_hop_set=True
        )
        # 9.1: an INVITE that is not answered within 64*T1 of its CANCEL is over.
        self._agent.timers.after(TRANSACTION_TIMEOUT, lambda: self._transaction.fail(408))


async def invite(
    agent: UserAgent,
    make: Callable[[Headers], Request],
    flow: Flow,
    credentials: Credentials | None,
    *,
    on_attempt: Callable[[Attempt], None],
    on_progress: Callable[[Response], None],
) -> tuple[Attempt, Response]:
    """Send the INVITE that `make` builds, answering challenges and too short session intervals; its final response."""
    extra: Headers = ()
    for _ in range(MAX_CHALLENGES):
        attempt = Attempt(agent, make(extra), flow, credentials, on_progress)
        on_attempt(attempt)
        response = await attempt.final
        again = agent.answer_challenge(attempt.request, response, credentials)
        if response.status == 422:
            again = request_headers(DEFAULT_SECONDS, min_se(response))
        if again is None or attempt.is_cancelled:
            break
        extra = (*(one for one in extra if one[0] not in {name for name, _ in again}), *again)
    return attempt, response
