"""The answer to someone who tries too often."""

from datetime import timedelta
from math import ceil

from shared.errors import TooManyRequestsError


class TooManyAttemptsError(TooManyRequestsError):
    """Too many attempts for this account; wait before the next one."""

    code = "too_many_attempts"

    def __init__(self, wait: timedelta = timedelta(seconds=1)) -> None:
        super().__init__(headers={"Retry-After": str(max(1, ceil(wait.total_seconds())))})
