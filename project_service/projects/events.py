"""The events of a project; their data is the project as of the event."""

from project_service.projects.schemas import Project
from shared import outbox
from shared.asyncapi import EventType
from shared.db import Tx

SOURCE = "project_service"
CREATED = "project.created"
UPDATED = "project.updated"
DELETED = "project.deleted"
TYPES = (
    EventType(CREATED, Project, "A project was created."),
    EventType(UPDATED, Project, "A project was changed."),
    EventType(DELETED, Project, "A project was deleted; it takes no more calls."),
)


async def publish(tx: Tx, type_: str, project: Project) -> None:
    """Write an event to the outbox."""
    await outbox.add(
        tx,
        source=SOURCE,
        type=type_,
        subject=project.id,
        tenant=project.user_id,
        project_id=project.id,
        data=project.model_dump(mode="json"),
    )
