"""The documents of agents: read and cut when they are uploaded, handed to our own workers."""

import asyncio
from dataclasses import dataclass

from project_service.documents import repository
from project_service.documents.cutting import passages_of
from project_service.documents.errors import (
    DocumentExistsError,
    DocumentNotFoundError,
    DocumentUnreadableError,
    TooManyDocumentsError,
)
from project_service.documents.reading import Reader
from project_service.documents.schemas import Document, PassageOf, Passages
from project_service.errors import AgentNotFoundError
from shared.db import Database
from shared.forms import UploadedFile
from shared.ids import new_id

MAX_DOCUMENTS = 50
# Of an agent. A worker has them in memory, and spends 20 ms of CPU on each when they have changed.
MAX_PASSAGES = 1_000


@dataclass(frozen=True, slots=True)
class Documents:
    """A user's documents, by agent."""

    db: Database
    reader: Reader

    async def add(self, tenant: str, agent_id: str, file: UploadedFile) -> Document:
        """Read it, cut it and keep its passages.

        Raises:
            AgentNotFoundError, DocumentUnreadableError, DocumentReadersBusyError, DocumentExistsError
            TooManyDocumentsError
        """
        await self._require(tenant, agent_id)
        kind, size, text = await self.reader.read(tenant, file)
        passages = await asyncio.to_thread(passages_of, text)
        if not passages:
            raise DocumentUnreadableError
        async with self.db.transaction() as tx:
            if not await repository.lock_agent(tx, tenant, agent_id):
                raise AgentNotFoundError
            documents, known = await repository.totals(tx, tenant, agent_id)
            if documents >= MAX_DOCUMENTS or known + len(passages) > MAX_PASSAGES:
                raise TooManyDocumentsError(
                    f"An agent may have {MAX_DOCUMENTS} documents with {MAX_PASSAGES} passages of 120 words; "
                    f"it has {documents} with {known}, and this one has {len(passages)}."
                )
            document = await repository.insert(
                tx,
                tenant,
                agent_id,
                new_id(),
                name=file.name[:200],
                kind=kind,
                size=size,
                digest=file.digest,
                passages=passages,
            )
        if document is None:
            raise DocumentExistsError
        return document

    async def of_agent(self, tenant: str, agent_id: str) -> list[Document]:
        """Raises AgentNotFoundError."""
        await self._require(tenant, agent_id)
        return await repository.of_agent(self.db, tenant, agent_id)

    async def delete(self, tenant: str, agent_id: str, document_id: str) -> None:
        """Raises AgentNotFoundError, DocumentNotFoundError."""
        await self._require(tenant, agent_id)
        async with self.db.transaction() as tx:
            if not await repository.delete(tx, tenant, agent_id, document_id):
                raise DocumentNotFoundError

    async def passages(self, tenant: str, agent_id: str, known: str | None) -> Passages:
        """For workers: all there is to look up, or nothing when they have it."""
        await self._require(tenant, agent_id)
        revision = await repository.revision(self.db, tenant, agent_id)
        if revision == known:
            return Passages(revision=revision, passages=None)
        found = await repository.passages(self.db, tenant, agent_id)
        return Passages(revision=revision, passages=[PassageOf(document=name, text=text) for name, text in found])

    async def _require(self, tenant: str, agent_id: str) -> None:
        if not await repository.exists_agent(self.db, tenant, agent_id):
            raise AgentNotFoundError
