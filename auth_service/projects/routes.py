"""Endpoints of the active project."""

from auth_service.projects.errors import NoActiveProjectError, UnknownProjectError
from auth_service.projects.schemas import ActiveProject, ActiveProjectSet, SetActiveProject, UserData
from auth_service.projects.service import ACTIVE_PROJECTS
from shared.endpoints import Context, Router
from shared.errors import BadGatewayError, UnavailableError
from shared.request_ids import request_id
from shared.scopes import Scope

router = Router("User")


@router.add(
    "POST",
    "/user/set-active-project",
    scope=Scope.ACCOUNT_WRITE,
    body=SetActiveProject,
    answer=ActiveProjectSet,
    errors=[UnknownProjectError, BadGatewayError, UnavailableError],
)
async def set_active_project(ctx: Context[SetActiveProject]) -> ActiveProjectSet:
    """Make a project the active one."""
    service = ctx.request.app[ACTIVE_PROJECTS]
    user, project = await service.set(ctx.tenant, ctx.body.project_id, request_id(ctx.request))
    return ActiveProjectSet(
        message=f"successfully set project with id {project.id} active.",
        user_data=UserData.model_validate(user),
        project_data=project,
    )


@router.add(
    "GET",
    "/user/get-active-project",
    scope=Scope.ACCOUNT_READ,
    answer=ActiveProject,
    errors=[NoActiveProjectError, BadGatewayError, UnavailableError],
)
async def get_active_project(ctx: Context[None]) -> ActiveProject:
    """Get the active project."""
    project = await ctx.request.app[ACTIVE_PROJECTS].get(ctx.tenant, request_id(ctx.request))
    return ActiveProject(project_data=project)
