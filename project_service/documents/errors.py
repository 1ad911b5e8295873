"""What can go wrong with documents."""

from shared.errors import ConflictError, NotFoundError, UnavailableError, UnprocessableError


class DocumentNotFoundError(NotFoundError):
    """This agent has no document with this id."""

    code = "document_not_found"


class DocumentExistsError(ConflictError):
    """This agent has a document with the same content."""

    code = "document_exists"


class TooManyDocumentsError(ConflictError):
    """The agent's documents would be too many, or too long together; delete some."""

    code = "too_many_documents"


class DocumentUnreadableError(UnprocessableError):
    """There is no text to be read in this file."""

    code = "document_unreadable"


class DocumentReadersBusyError(UnavailableError):
    """More PDFs than can be read wait already, yours or those of others; try again in a few seconds."""

    code = "document_readers_busy"
    retry_after_seconds = 10
