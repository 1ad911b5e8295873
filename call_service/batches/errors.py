"""What can go wrong with a request about a batch or the do-not-call list."""

from shared.errors import ConflictError, FieldError, InvalidRequestError, NotFoundError, UnavailableError


class BatchNotFoundError(NotFoundError):
    """There is no batch with this id."""

    code = "batch_not_found"


class BatchFinishedError(ConflictError):
    """The batch is completed or canceled."""

    code = "batch_finished"


class BatchBudgetSpentError(ConflictError):
    """The budget is spent; resume with a higher one."""

    code = "batch_budget_spent"


class NotOnDoNotCallError(NotFoundError):
    """This number is not on the do-not-call list."""

    code = "not_on_do_not_call_list"


class TooManyUploadsError(UnavailableError):
    """As many files are being read as this process takes at once; try again."""

    code = "too_many_uploads"


class FileRefusedError(InvalidRequestError):
    """The file can't be read as a batch: its code tells which rule it breaks."""

    def __init__(self, code: str = "malformed_file", message: str | None = None) -> None:
        text = message or self.default_message()
        super().__init__(f"file: {text}", errors=[FieldError("file", code, text)])
