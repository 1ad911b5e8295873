"""What the end of a call means for its batch, in the transaction that ends the call."""

from decimal import Decimal

from call_service.batches import dialing_queries as queries
from call_service.batches import events, repository, rules
from call_service.batches.domain import Batch, BatchStatus
from call_service.calls import repository as calls
from call_service.calls.domain import Call
from shared.clock import rfc3339
from shared.db import Tx


async def settle(tx: Tx, call: Call) -> None:
    """Free the contact's place; let it wait for another attempt, or be done; keep budget and circuit breaker."""
    if call.batch_id is None or call.batch_line is None:
        return
    found = await queries.lock_called(tx, call.batch_id, call.batch_line, call.id)
    if found is None:
        return
    batch, contact, now = found
    if call.reason == rules.PRE_DIAL_FAILED:
        step = rules.after_pre_dial_failure(now, contact.attempts, contact.pre_dial_failures)
    else:
        step = rules.after_call(now, call.status, call.reason, contact.attempts, batch.retry)
    await queries.set_next(tx, batch.id, contact.line, step, call.reason)
    if step.state == "pending":
        reason = call.reason or call.status.value
        await queries.note(tx, batch.id, contact.line, "wait", reason, due_at=rfc3339(step.due_at))
    known = rules.Breaker(batch.recent, batch.trips)
    breaker = rules.after_result(known, call.fault, call.reason, is_blocked=batch.blocked_until > now)
    batch = await queries.account(tx, batch.id, call.cost, is_final=step.state != "pending", breaker=breaker)
    if breaker.blocked_for is not None:
        batch = await _opened(tx, batch, breaker)
    await events.report(tx, batch)
    await calls.wake_workers(tx)


async def settle_late(tx: Tx, call: Call, cost: Decimal) -> None:
    """Add what a call cost after its end, for its analysis, to what its batch has spent."""
    if call.batch_id is not None:
        await queries.spend(tx, call.batch_id, cost)


async def _opened(tx: Tx, batch: Batch, breaker: rules.Breaker) -> Batch:
    until = rfc3339(batch.blocked_until)
    await queries.note(tx, batch.id, None, "break", "failure_rate", times=breaker.trips, until=until)
    if breaker.gives_up and batch.status is BatchStatus.RUNNING:
        return await repository.set_status(tx, batch.id, BatchStatus.PAUSED, "failure_rate")
    return batch
