"""From the body of a request to scenarios that can be stored, in a process beside this one."""

import sys
from pathlib import Path
from typing import Any

import orjson

from call_service.scenarios.errors import ScenarioCheckersBusyError
from call_service.scenarios.parsing import REFUSED
from shared import programs
from shared.endpoints import field_error, unprocessable
from shared.errors import FieldError
from shared.fair_places import FairPlaces, NoPlaceError

CHECK_SECONDS = 10.0
PATIENCE_SECONDS = 10.0
_COMMAND = (sys.executable, "-m", "call_service.scenarios.parsing")
_ROOT = Path(__file__).parents[2]
_TOO_COMPLEX = FieldError("scenarios", "too_complex", "Checking them takes too long; send fewer, or simpler patterns.")


class Checker:
    """Checks what several tenants send, two at a time."""

    def __init__(self, *, places: FairPlaces | None = None, seconds: float = CHECK_SECONDS) -> None:
        self._places = places or FairPlaces(2, waiting=32, of_one=4, patience_seconds=PATIENCE_SECONDS)
        self._seconds = seconds

    async def played(self, tenant: str, values: dict[str, Any]) -> list[bytes]:
        """`values` are those of a `ScenarioSet`; the JSON of every call that is played.

        Raises:
            UnprocessableError: they are not; the fields are named.
            ScenarioCheckersBusyError
        """
        try:
            async with self._places.place(tenant):
                done = await programs.run(_COMMAND, orjson.dumps(values), self._seconds, directory=_ROOT)
        except NoPlaceError:
            raise ScenarioCheckersBusyError from None
        except TimeoutError:
            raise unprocessable([_TOO_COMPLEX]) from None
        if done.status == REFUSED:
            raise unprocessable([field_error(item) for item in orjson.loads(done.output)])
        if done.status:
            raise unprocessable([_TOO_COMPLEX])
        return done.output.splitlines()
