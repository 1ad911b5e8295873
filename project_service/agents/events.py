"""The events of an agent; their data is the agent as of the event."""

from project_service.agents.schemas import Agent
from shared import outbox
from shared.asyncapi import EventType
from shared.db import Tx

CREATED = "agent.created"
UPDATED = "agent.updated"
DELETED = "agent.deleted"
TYPES = (
    EventType(CREATED, Agent, "An agent was created."),
    EventType(UPDATED, Agent, "An agent was changed, which made a new version of it."),
    EventType(DELETED, Agent, "An agent was deleted."),
)


async def publish(tx: Tx, type_: str, tenant: str, agent: Agent) -> None:
    """Write an event to the outbox."""
    await outbox.add(
        tx,
        source="project_service",
        type=type_,
        subject=agent.id,
        tenant=tenant,
        project_id=agent.project_id,
        data=agent.model_dump(mode="json", by_alias=True),
    )
