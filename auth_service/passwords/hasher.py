"""argon2id off the event loop, in few threads and with a bounded queue."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import TypeVar

import argon2
from argon2.exceptions import VerifyMismatchError

from shared.errors import UnavailableError

T = TypeVar("T")

# OWASP's second choice of parameters (Password Storage Cheat Sheet): 19 MiB, two passes, one lane.
PARAMETERS = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class HasherBusyError(UnavailableError):
    """Too many sign-ins at this moment; try again."""

    code = "sign_in_busy"
    retry_after_seconds = 1


def _bytes(password: str) -> bytes:
    """One spelling of each character, whatever keyboard it came from (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode()


def _verify(digest: str, password: str) -> bool:
    try:
        return PARAMETERS.verify(digest, _bytes(password))
    except VerifyMismatchError:
        return False


class PasswordHasher:
    """At most `threads` hashes at a time and `queue` waiting."""

    def __init__(self, threads: int, queue: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._room = BoundedSemaphore(threads + queue)
        self._nobody = PARAMETERS.hash(b"the password of nobody")

    async def hash(self, password: str) -> str:
        """The PHC string to store.

        Raises:
            HasherBusyError: the queue is full.
        """
        return await self._run(lambda: PARAMETERS.hash(_bytes(password)))

    async def verify(self, digest: str | None, password: str) -> bool:
        """Is this the password? Without a digest (nobody has this address) the same work is done, for nothing.

        Raises:
            HasherBusyError: the queue is full.
        """
        is_right = await self._run(lambda: _verify(digest or self._nobody, password))
        return is_right and digest is not None

    async def is_still(self, verified: str, present: str | None, password: str) -> bool:
        """Is `password`, which was right for the hash `verified`, right for the `present` one?

        They differ when the password was changed meanwhile, or only hashed anew by another log-in.

        Raises:
            HasherBusyError: the queue is full.
        """
        return present == verified or await self.verify(present, password)

    @staticmethod
    def is_outdated(digest: str) -> bool:
        """Was it made with other parameters than today's?"""
        return PARAMETERS.check_needs_rehash(digest)

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._room.acquire(blocking=False):
            raise HasherBusyError
        future = self._executor.submit(work)
        # On the thread's own future: a caller that goes away does not free the thread.
        future.add_done_callback(lambda _: self._room.release())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
