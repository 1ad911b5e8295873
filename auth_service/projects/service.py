"""The project that a user works on."""

from aiohttp import web

from auth_service.accounts import repository as accounts
from auth_service.accounts.repository import User
from auth_service.projects.client import ProjectClient
from auth_service.projects.errors import NoActiveProjectError, UnknownProjectError
from auth_service.projects.schemas import ProjectData
from auth_service.resources import Resources
from shared.errors import UnauthorizedError
from shared.ids import is_id


class ActiveProjectService:
    """This service keeps the id only; the rest is asked of project_service each time."""

    def __init__(self, resources: Resources, projects: ProjectClient) -> None:
        self._r = resources
        self._projects = projects

    async def set(self, user_id: str, project_id: str, request_id: str) -> tuple[User, ProjectData]:
        """Make a project of the user the active one.

        Raises:
            UnknownProjectError: there is none with this id, or it is somebody else's.
            UnauthorizedError: the account is gone.
        """
        project = await self._projects.get(user_id, project_id, request_id) if is_id(project_id) else None
        if project is None:
            raise UnknownProjectError
        async with self._r.db.transaction() as tx:
            user = await accounts.set_active_project(tx, user_id, project.id, self._r.clock.now())
        if user is None:
            raise UnauthorizedError
        return user, project

    async def get(self, user_id: str, request_id: str) -> ProjectData:
        """Raises NoActiveProjectError when none is set, or it was deleted since."""
        async with self._r.db.connection() as connection:
            user = await accounts.by_id(connection, user_id)
        if user is None:
            raise UnauthorizedError
        project_id = user.active_project
        project = await self._projects.get(user_id, project_id, request_id) if project_id else None
        if project is None:
            raise NoActiveProjectError
        return project


ACTIVE_PROJECTS = web.AppKey("active_projects", ActiveProjectService)
