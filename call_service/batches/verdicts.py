"""A verdict for each row of a file: a contact that will be called, or the reason why not."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from call_service.batches.domain import Window
from call_service.batches.sheets import Row
from call_service.batches.windows import Interval, known_zones, next_open, zones_of
from call_service.calls.schemas import Variables
from shared.db import storable
from shared.e164 import check_e164

NUMBER = "number"
VARIABLES = "dynamicVariables"
TIMEZONE = "timezone"
ANY_TIME = ""  # the lane of a batch without a window
MAX_NUMBER = 40

_VARIABLES = TypeAdapter(Variables)


class Verdict(NamedTuple):
    """`reason` is None for a contact that will be called."""

    line: int
    number: str
    lane: str
    variables: dict[str, str]
    reason: str | None


class _RejectedError(Exception):
    """Its text is the reason."""


class Judge:
    """Judges the rows of one file. Collects the lanes of its contacts, each with the interval that opens next."""

    def __init__(self, required: Sequence[str], window: Window | None, now: datetime) -> None:
        """`required` are the placeholders of the agent's texts; `now` is when calling may begin."""
        self._required = required
        self._window = window
        self._next_open = cache(lambda zones: next_open(now, zones, window) if window else None)
        self.lanes: dict[str, Interval] = {}

    def verdict(self, row: Row) -> Verdict:
        """Never raises, whatever the row holds."""
        number = row.cells.get(NUMBER, "").strip()
        try:
            self._check(row, number)
            variables = self._variables(row.cells)
            return Verdict(row.number, number, self._lane(number, row.cells), variables, None)
        except _RejectedError as error:
            # A reason quotes the names of columns and variables.
            return Verdict(row.number, storable(number[:MAX_NUMBER]), ANY_TIME, {}, storable(str(error)))

    @staticmethod
    def _check(row: Row, number: str) -> None:
        if row.problem:
            raise _RejectedError(row.problem)
        if not number:
            raise _RejectedError("The number is missing.")
        try:
            check_e164(number)
        except PydanticCustomError as error:
            raise _RejectedError(error.message()) from error

    def _variables(self, cells: dict[str, str]) -> dict[str, str]:
        variables = _merged(cells)
        missing = [name for name in self._required if name not in variables]
        if missing:
            raise _RejectedError(f"A variable is missing: {', '.join(missing)}.")
        return variables

    def _lane(self, number: str, cells: dict[str, str]) -> str:
        """The time zones that the contact may be in; raises when they have no common calling hours."""
        if self._window is None:
            return ANY_TIME
        given = cells.get(TIMEZONE, "").strip()
        if given and given not in known_zones():
            raise _RejectedError("The timezone is not a name of the tz database, e.g. America/New_York.")
        zones = (given,) if given else zones_of(number)
        if not zones:
            raise _RejectedError("The time zone of this number is unknown; add a column `timezone`.")
        opens = self._next_open(zones)
        if opens is None:
            raise _RejectedError("The time zones this number may be in have no common hours; add a column `timezone`.")
        lane = " ".join(zones)
        self.lanes[lane] = opens
        return lane


def _merged(cells: dict[str, str]) -> dict[str, str]:
    """The columns, and over them what the cell `dynamicVariables` holds."""
    columns = {name: value for name, value in cells.items() if name not in {NUMBER, VARIABLES}}
    try:
        given = orjson.loads(cells.get(VARIABLES, "{}"))
        variables = _VARIABLES.validate_python({**columns, **given})
    except (orjson.JSONDecodeError, TypeError) as error:
        raise _RejectedError(f"{VARIABLES} is not a JSON object.") from error
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, found["loc"]))
        raise _RejectedError(f"Variable {where}: {found['msg']}."[:300]) from error
    if any("\x00" in text for pair in variables.items() for text in pair):
        raise _RejectedError("A variable contains the character U+0000.")
    return variables
