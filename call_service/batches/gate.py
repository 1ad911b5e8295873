"""The last look before a call starts, in the transaction that commits the intent to dial it."""

from call_service.batches import dialing_queries, repository, rules
from call_service.batches.domain import BatchStatus
from call_service.calls.domain import Call, Outcome, Status
from shared.db import Tx

_BY_STATUS = {
    BatchStatus.PAUSED: Outcome(Status.CANCELED, rules.BATCH_PAUSED, "none"),
    BatchStatus.CANCELED: Outcome(Status.CANCELED, rules.CANCELED_BY_API, "none"),
}
_OUTSIDE = Outcome(Status.CANCELED, rules.OUTSIDE_WINDOW, "none")
_DO_NOT_CALL = Outcome(Status.CANCELED, rules.DO_NOT_CALL, "tenant")


async def refusal(tx: Tx, call: Call) -> Outcome | None:
    """How a call that this transaction has locked ends without being dialled; None: it may start.

    Who pauses its batch or puts its number on the do-not-call list waits until this transaction has ended. What starts
    after their commit sees it.
    """
    if call.batch_id is not None and call.batch_line is not None:
        found = await dialing_queries.gate(tx, call.batch_id, call.batch_line)
        if (stopped := _BY_STATUS.get(BatchStatus(found.status))) is not None:
            return stopped
        if not found.is_open:
            return _OUTSIDE
    await repository.lock_number(tx, call.tenant, call.to_number)
    return _DO_NOT_CALL if await repository.do_not_call_since(tx, call.tenant, call.to_number) else None
