"""Pages of lists, and their opaque, signed cursors: a client can only send back what it was given."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field

from shared.errors import FieldError, InvalidRequestError

Item = TypeVar("Item")

MAX_PAGE = 100
_MAC_BYTES = 16


class InvalidCursorError(InvalidRequestError):
    """The cursor is not one that this list gave out."""

    code = "invalid_cursor"

    def __init__(self) -> None:
        super().__init__(errors=[FieldError("cursor", "invalid_cursor", self.default_message())])


class Cursors:
    """Cursors of one kind of list (`purpose`), so that one list's cursor is refused by another."""

    def __init__(self, secret: str, purpose: str) -> None:
        self._key = hashlib.sha256(f"cursor:{purpose}:{secret}".encode()).digest()

    def encode(self, position: Sequence[str]) -> str:
        """The sort key of the last row on the page."""
        payload = orjson.dumps(list(position))
        return base64.urlsafe_b64encode(self._mac(payload) + payload).rstrip(b"=").decode()

    def decode(self, cursor: str) -> list[str]:
        """Raises InvalidCursorError when it was forged, cut or made for another list."""
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except (binascii.Error, ValueError) as error:
            raise InvalidCursorError from error
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload)):
            raise InvalidCursorError
        return [str(part) for part in orjson.loads(payload)]

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, "sha256")[:_MAC_BYTES]


class PageQuery(BaseModel):
    """A page of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, max_length=500)

    @property
    def limit_and_one(self) -> int:
        """How many to look for, so that `page_of` knows whether more follow."""
        return self.limit + 1

    def position(self, cursors: Cursors) -> str | None:
        """Where the page before ended. Raises InvalidCursorError."""
        return cursors.decode(self.cursor)[0] if self.cursor else None


def page_of(
    found: list[Item], query: PageQuery, cursors: Cursors, key: Callable[[Item], str]
) -> tuple[list[Item], str | None]:
    """The page out of up to `limit_and_one` items, and the cursor of the next one if there is one."""
    page = found[: query.limit]
    return page, cursors.encode([key(page[-1])]) if len(found) > query.limit else None
