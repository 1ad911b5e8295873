"""The events of a project; their data is the project as of the event."""

from project_service.projects.schemas import Project
from shared import outbox
from shared.db import Tx

SOURCE = "project_service"
CREATED = "project.created"
UPDATED = "project.updated"
DELETED = "project.deleted"


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
