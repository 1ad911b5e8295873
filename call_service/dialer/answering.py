"""A call that came in, from the answer to its completion."""

from dataclasses import replace

import structlog

from call_service.calls.domain import CANCELED_BY_API, WORKER_LOST, Call, Outcome, Status, outcome_of
from call_service.carriers.port import CallGoneError, CallRefusedError, Cause, IncomingCall
from call_service.dialer.runner import CallRunner, Tools

log = structlog.get_logger(__name__)

GAVE_UP = Outcome(Status.CANCELED, "caller_gave_up", "none", 487)


class AnsweringRunner(CallRunner):
    """Picks up `incoming`; all else is as in a call that we made."""

    def __init__(self, call: Call, tools: Tools, incoming: IncomingCall) -> None:
        super().__init__(call, tools)
        self._incoming = incoming
        self._ladder = incoming.ladder

    async def run(self) -> None:
        """As the base says; a call that could not be answered is refused."""
        self._incoming.ring()
        try:
            await super().run()
        finally:
            self._incoming.reject(503)

    async def _end(self, outcome: Outcome) -> bool:
        """Who still waits is told so first: 480 where no other worker could do better, else 503."""
        if self._incoming.is_open:
            sip_code = 480 if outcome.fault == "tenant" else 503
            self._incoming.reject(sip_code)
            outcome = replace(outcome, sip_code=sip_code)
        return await super()._end(outcome)

    async def _dial(self) -> Outcome:
        if self._is_canceled or self._journal.lost.is_set():
            self._incoming.reject(603)
            return WORKER_LOST if self._journal.lost.is_set() else CANCELED_BY_API
        try:
            leg = self._incoming.answer()
        except CallGoneError:
            return GAVE_UP
        except CallRefusedError as error:
            log.info("call could not be answered", sip_code=error.sip_code)
            return outcome_of(Cause.CARRIER_REJECTED, error.sip_code)
        return await self._hold(leg)
