"""What the tools of all calls of a worker share, while it runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from call_service.kept import Kept
from call_service.projects import HttpProjectDirectory
from call_service.settings import WorkerSettings
from call_service.tools.building import Tooling
from call_service.tools.embedding import load_embedder
from call_service.tools.http import PER_HOST
from call_service.tools.library import Library
from shared.http_client import GuardedClient


@asynccontextmanager
async def open_tooling(directory: HttpProjectDirectory, settings: WorkerSettings) -> AsyncIterator[Tooling]:
    """For the block. Raises EmbedderUnavailableError."""
    embedder = await load_embedder(settings.engines)
    library = Library(directory, embedder)
    try:
        async with GuardedClient(allow_private=settings.tool_allow_private, per_host_limit=PER_HOST) as client:
            yield Tooling(client, Kept(directory.tool_secrets), library)
    finally:
        await library.close()
        embedder.close()
