"""`/agent/{agentId}/documents`, and what workers ask before something is looked up."""

from aiohttp import web

from project_service.documents import errors
from project_service.documents.reading import MAX_BYTES
from project_service.documents.schemas import Document, DocumentForm, DocumentList, KnownRevision, Passages
from project_service.documents.service import Documents
from project_service.errors import AgentNotFoundError
from shared.endpoints import Context, Router, unprocessable
from shared.scopes import Scope

router = Router("Documents")
DOCUMENTS = web.AppKey("documents", Documents)
_PATH = "/agent/{agentId}/documents"
_FORM_BYTES = 64 * 1024


@router.add(
    "POST",
    _PATH,
    scope=Scope.PROJECTS_WRITE,
    body=DocumentForm,
    is_form=True,
    idempotent=True,
    max_body_bytes=MAX_BYTES + _FORM_BYTES,
    answer=Document,
    status=201,
    errors=[
        AgentNotFoundError,
        errors.DocumentExistsError,
        errors.TooManyDocumentsError,
        errors.DocumentUnreadableError,
        errors.DocumentReadersBusyError,
    ],
    invalid=unprocessable,
)
async def add_document(ctx: Context[DocumentForm]) -> Document:
    """Give an agent a document; calls that begin a few seconds later find it."""
    return await ctx.request.app[DOCUMENTS].add(ctx.tenant, ctx.path("agentId"), ctx.body.file)


@router.add("GET", _PATH, scope=Scope.PROJECTS_READ, answer=DocumentList, errors=[AgentNotFoundError])
async def list_documents(ctx: Context[None]) -> DocumentList:
    """The documents of an agent, oldest first."""
    return DocumentList(data=await ctx.request.app[DOCUMENTS].of_agent(ctx.tenant, ctx.path("agentId")))


@router.add(
    "DELETE",
    f"{_PATH}/{{documentId}}",
    scope=Scope.PROJECTS_WRITE,
    status=204,
    errors=[AgentNotFoundError, errors.DocumentNotFoundError],
)
async def delete_document(ctx: Context[None]) -> None:
    """Delete a document."""
    await ctx.request.app[DOCUMENTS].delete(ctx.tenant, ctx.path("agentId"), ctx.path("documentId"))


@router.add(
    "POST",
    "/internal/agents/{agentId}/passages",
    auth="internal",
    body=KnownRevision,
    answer=Passages,
    errors=[AgentNotFoundError],
)
async def get_passages(ctx: Context[KnownRevision]) -> Passages:
    """What an agent's documents say, for a worker; nothing when it has that already."""
    return await ctx.request.app[DOCUMENTS].passages(ctx.tenant, ctx.path("agentId"), ctx.body.known)
