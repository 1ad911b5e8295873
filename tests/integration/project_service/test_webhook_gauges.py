"""What operators see of the webhooks is what is due."""

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from project_service.webhooks import gauges, queue
from project_service.webhooks.queue import Message
from shared.db import Database
from shared.ids import new_id

LEASE = timedelta(seconds=60)


def value(name: str) -> float:
    found = REGISTRY.get_sample_value(f"talkstack_webhooks_{name}")
    assert found is not None
    return found


async def test_due_deliveries_are_counted_and_those_of_disabled_endpoints_are_not(user: Any, db: Database) -> None:
    project_id = await user.project()
    body = {"projectId": project_id, "webhookURL": "http://127.0.0.1:9/hook"}
    assert (await user("POST", "/project/call-status/add-webhookurl", body))[0] == 200
    async with db.transaction() as tx:
        for call in (new_id(), new_id()):
            await queue.add(tx, Message(new_id(), user.id, project_id, new_id(), "call.ended", call, 1, "{}"))
            await queue.add(tx, Message(new_id(), user.id, project_id, new_id(), "call.completed", call, 2, "{}"))
    await db.execute("UPDATE webhook_deliveries SET next_at = now() - interval '70 seconds' WHERE status = 'pending'")
    await gauges.measure(db, LEASE)
    assert value("due") == 2
    assert 70 <= value("oldest_due_seconds") < 80
    await db.execute("UPDATE webhook_endpoints SET disabled_at = now()")
    await gauges.measure(db, LEASE)
    assert (value("due"), value("oldest_due_seconds")) == (0, 0)


async def test_a_customer_who_is_being_served_waits_for_her_own_endpoints(user: Any, db: Database) -> None:
    """An operator was woken because the endpoint of one customer was slow, or dead."""
    first, second = await user.project(), await user.project("Back office")
    async with db.transaction() as tx:
        for project_id in (first, second, second):
            await tx.execute(
                """INSERT INTO webhook_endpoints (project_id, tenant, url, secret) VALUES ($1, $2, 'http://a/', 's')
                    ON CONFLICT DO NOTHING""",
                project_id,
                user.id,
            )
            await queue.add(tx, Message(new_id(), user.id, project_id, new_id(), "call.ended", new_id(), 1, "{}"))
    await db.execute("UPDATE webhook_deliveries SET next_at = now() - interval '70 seconds'")
    assert len(await queue.claim(db, {second: 10}, 1, LEASE, 20)) == 1  # of the first one
    await gauges.measure(db, LEASE)
    assert (value("due"), value("oldest_due_seconds")) == (2, 0)
    await db.execute("UPDATE webhook_deliveries SET next_at = now() - interval '1 second' WHERE claim IS NOT NULL")
    await gauges.measure(db, LEASE)  # its worker is gone
    assert value("due") == 3
    assert 70 <= value("oldest_due_seconds") < 80


async def test_due_deliveries_are_counted_up_to_a_limit_over_all(
    user: Any, stranger: Any, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit was one of each endpoint."""
    monkeypatch.setattr(gauges, "MOST_COUNTED", 3)
    for owner in (user, stranger):
        project_id = await owner.project()
        await owner("POST", "/project/call-status/add-webhookurl", {"projectId": project_id, "webhookURL": "http://a"})
        async with db.transaction() as tx:
            for _ in range(2):
                await queue.add(tx, Message(new_id(), owner.id, project_id, new_id(), "call.ended", new_id(), 1, "{}"))
    await db.execute("UPDATE webhook_deliveries SET next_at = now() - interval '70 seconds' WHERE tenant = $1", user.id)
    await gauges.measure(db, LEASE)
    assert value("due") == 3
    assert 70 <= value("oldest_due_seconds") < 80
