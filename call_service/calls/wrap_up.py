"""What happens after a call has ended: analysis, then `call.completed`. Anybody holding its fence may do it."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import structlog

from call_service.analysis import CallFacts, Question, analyze
from call_service.batches.settlement import settle, settle_late
from call_service.calls import events, repository
from call_service.calls.costs import total, vendor_lines
from call_service.calls.domain import Call, CallTurn, Outcome
from call_service.llm import LlmClient
from call_service.recordings import RecordingStore
from call_service.signalling import repository as signalling
from call_service.signalling.ladder import LadderEntry
from call_service.vendors.models import AgentModels
from call_service.vendors.usage import Used
from call_service.voice.ports import Turn
from shared.db import Database, Tx

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Analyzer:
    """Analyses conversations with the agent's own models, else the deployment's, else by rules."""

    llm: LlmClient | None
    models: AgentModels | None = None

    async def analyze(
        self, call: Call, turns: list[CallTurn], questions: list[Question], used: Counter[Used] | None = None
    ) -> dict[str, Any]:
        """The analysis as the public contract shows it. What the agent's models were used for is added to `used`."""
        facts = CallFacts(
            to=call.other_party,
            direction=call.direction,
            status=call.status.value,
            reason=call.reason,
            seconds=call.seconds,
            agent_name=call.agent.get("name"),
            data=call.data,
        )
        said = [Turn(turn.role, turn.text, turn.start_ms, turn.end_ms, turn.interrupted) for turn in turns]
        standing = [Question.model_validate(item) for item in call.agent.get("analysisQuestions") or ()]
        own = await self.models.of(call, Counter() if used is None else used) if self.models else []
        for llm in (*own, self.llm):
            result = await analyze(said, questions, facts, llm, standing=standing)
            if result.source == "llm":
                break
        return result.model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class WrapUp:
    """Completes ended calls."""

    db: Database
    analyzer: Analyzer
    recordings: RecordingStore
    public_url: str
    prices: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)  # as `calls.costs.Prices`

    async def complete(self, call: Call, messages: Sequence[LadderEntry] = ()) -> None:
        """Analyse and complete a call that this process holds by `call.fence`; harmless when it no longer does.

        `messages` are those of SIP.
        """
        recording = await asyncio.to_thread(self.recordings.finished, call.id)
        turns = await repository.turns(self.db, call.id)
        used: Counter[Used] = Counter()
        analysis = await self.analyzer.analyze(call, turns, [], used) if call.answered_at else None
        costs = vendor_lines(used, self.prices)
        types = [
            *([events.TRANSCRIPT_READY] if turns else []),
            *([events.RECORDING_READY] if recording else []),
            *([events.ANALYZED] if analysis else []),
            events.COMPLETED,
        ]
        async with self.db.transaction() as tx:
            completed = await repository.complete(tx, call.id, call.fence, recording=recording, analysis=analysis)
            if completed and costs:
                completed = await repository.charge(tx, call.id, costs, call.currency)
                await settle_late(tx, completed, total(costs))
            if completed and messages:
                await signalling.add(tx, call.id, messages)
            if completed:
                await events.publish(tx, completed, self.public_url, *types)

    async def give_up(self, call: Call) -> None:
        """Complete a call without recording and analysis, which fail again and again."""
        async with self.db.transaction() as tx:
            completed = await repository.complete(tx, call.id, call.fence, recording=None, analysis=None)
            if completed:
                await events.publish(tx, completed, self.public_url, events.COMPLETED)


async def end_queued(tx: Tx, call: Call, outcome: Outcome, public_url: str) -> Call:
    """End and complete a call that nobody has dialled; the caller has locked it.

    A worker that has claimed it finds it ended when it commits its intent, and does not dial.
    """
    ended = await repository.end(tx, call.id, call.fence, outcome, {})
    assert ended is not None
    await settle(tx, ended)
    await events.publish(tx, ended, public_url)
    completed = await repository.complete(tx, call.id, call.fence, recording=None, analysis=None)
    assert completed is not None
    await events.publish(tx, completed, public_url, events.COMPLETED)
    return completed
