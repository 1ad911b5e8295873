"""Pages of lists: what the client asks for, and the cursor that it is given."""

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from shared.pagination import MAX_PAGE, Cursors

Item = TypeVar("Item")


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
