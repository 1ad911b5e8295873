"""Makes calls and keeps the history of what was seen of them."""

from call_service.calls.service import Calls
from call_service.calls.wrap_up import Analyzer
from call_service.projects import PreparedCall
from shared.db import Database
from shared.ids import new_id
from shared.pagination import Cursors
from tests.support.calls import agent
from tests.support.history import Accepted, Delivered, Dialled, Entry, Happened, violations
from tests.support.workers import PUBLIC


class AnyProject:
    """A `ProjectDirectory` that knows every project."""

    async def prepare(self, tenant: str, project_id: str, agent_id: str | None) -> PreparedCall:
        return PreparedCall(project_id, agent(silenceTimeoutSeconds=60), "+12025550199")

    async def require(self, tenant: str, project_id: str) -> None:
        """It exists."""


class Recorder:
    """`tenant` and `project_id` are of all calls; new ones unless they are given."""

    def __init__(self, db: Database, tenant: str | None = None, project_id: str | None = None) -> None:
        self._db = db
        self._calls = Calls(db, AnyProject(), Cursors("secret", "calls"), Analyzer(None), PUBLIC)
        self._tenant = tenant or new_id()
        self._project_id = project_id or new_id()
        self.history: list[Entry] = []

    async def make(self) -> str:
        call = await self._calls.make(self._tenant, "+12025550100", self._project_id, None, {})
        self.history.append(Accepted(call.id))
        return call.id

    def dialled(self, *call_ids: str) -> None:
        self.history += map(Dialled, call_ids)

    def delivered(self, call_id: str, sequence: int) -> None:
        self.history.append(Delivered(call_id, sequence))

    async def outcome(self, *, with_webhooks: bool = False) -> list[str]:
        """What happened that never may, once it is over."""
        rows = await self._db.fetch("SELECT subject, sequence, type, data ->> 'status' AS status FROM outbox")
        return violations([*self.history, *(Happened(*row) for row in rows)], with_webhooks=with_webhooks)
