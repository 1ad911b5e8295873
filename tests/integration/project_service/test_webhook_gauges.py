"""What operators see of the webhooks is what is due."""

from typing import Any

from prometheus_client import REGISTRY

from project_service.webhooks import gauges, queue
from project_service.webhooks.queue import Message
from shared.db import Database
from shared.ids import new_id


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
    await gauges.measure(db)
    assert value("due") == 2
    assert 70 <= value("oldest_due_seconds") < 80
    await db.execute("UPDATE webhook_endpoints SET disabled_at = now()")
    await gauges.measure(db)
    assert (value("due"), value("oldest_due_seconds")) == (0, 0)
