"""Somebody who hears of every call over RabbitMQ, and remembers it for the checker."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Self

from deploy.demo.receiver import Receiver
from deploy.local.stack import Stack
from shared.amqp import AmqpBus
from shared.events import Event
from shared.ids import new_id
from shared.testing.waiting import eventually
from tests.support.history import COMPLETED, Accepted, Delivered, Entry, Happened, violations


class Witness:
    """Knows the calls that it was told were accepted, and everything that was published about them."""

    def __init__(self) -> None:
        self._accepted: list[str] = []
        self._heard: dict[str, dict[int, Event]] = {}

    @classmethod
    @asynccontextmanager
    async def watching(cls, stack: Stack) -> AsyncIterator[Self]:
        assert stack.amqp_url is not None
        witness = cls()
        bus = await AmqpBus.connect(stack.amqp_url)
        try:
            await bus.subscribe(f"witness-{new_id()}", ["call.#"], witness._note, expires_seconds=600)
            yield witness
        finally:
            await bus.close()

    async def _note(self, event: Event) -> None:
        self._heard.setdefault(event.subject, {})[event.sequence] = event

    def accepted(self, call_id: str) -> str:
        self._accepted.append(call_id)
        return call_id

    def types_of(self, call_id: str) -> list[str]:
        return [event.type for event in self.events_of(call_id)]

    def events_of(self, call_id: str) -> list[Event]:
        return [event for _, event in sorted(self._heard.get(call_id, {}).items())]

    @property
    def events(self) -> list[Event]:
        """Of all accepted calls."""
        return [event for call_id in self._accepted for event in self.events_of(call_id)]

    async def all_complete(self, limit_seconds: float) -> None:
        """Wait until everything about the accepted calls was heard."""

        def is_whole(events: list[Event]) -> bool:
            return bool(events) and events[-1].type == COMPLETED and events[-1].sequence == len(events)

        await eventually(lambda: all(is_whole(self.events_of(call_id)) for call_id in self._accepted), limit_seconds)

    async def all_delivered(self, receiver: Receiver, limit_seconds: float) -> None:
        """Wait until the webhook's receiver has the last event of each call."""
        for call_id in self._accepted:
            assert await receiver.wait_for(COMPLETED, call_id, limit_seconds), call_id

    def violations(self, receiver: Receiver | None = None, more: Iterable[Entry] = ()) -> list[str]:
        """What the checker finds; with `receiver`, of webhooks too."""
        history: list[Entry] = [*map(Accepted, self._accepted), *more]
        for call_id in self._accepted:
            for event in self.events_of(call_id):
                history.append(Happened(call_id, event.sequence, event.type, event.data.get("status")))
                if receiver and any(_is_about(item, event) for item in receiver.verified):
                    history.append(Delivered(call_id, event.sequence))
        return violations(history, with_webhooks=receiver is not None)


def _is_about(item: dict[str, object], event: Event) -> bool:
    """A webhook carries no sequence; but for turns, which it never tells of, a call has one event of each type."""
    data = item["data"]
    return item["type"] == event.type and isinstance(data, dict) and data.get("call_id") == event.subject
