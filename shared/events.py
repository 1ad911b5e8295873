"""The envelope of every event (AsyncAPI: `talkstack.events`)."""

from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from shared.clock import rfc3339
from shared.ids import is_id


def _id(text: str) -> str:
    if not is_id(text):
        raise ValueError("is not a UUID")
    return text


def _to_milliseconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)


class Event(BaseModel):
    """A fact in the past tense. `sequence` counts the events of one `subject` from 1 without gaps.

    `time` is in UTC with whole milliseconds, as on the wire; `type` is the routing key, e.g. `call.ended`.
    Unknown fields are ignored, so that a newer publisher can add some.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    id: Annotated[str, AfterValidator(_id)]
    type: str = Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$", max_length=255)
    time: Annotated[AwareDatetime, AfterValidator(_to_milliseconds)]
    source: str
    subject: str
    tenant: str
    project_id: str | None
    sequence: int = Field(ge=1)
    data: dict[str, Any]

    def to_bytes(self) -> bytes:
        """As JSON.

        Raises:
            TypeError: `data` holds something that JSON cannot.
        """
        return orjson.dumps({**self.__dict__, "time": rfc3339(self.time)})

    @classmethod
    def from_bytes(cls, body: bytes) -> "Event":
        """The reverse of `to_bytes`.

        Raises:
            ValueError: it is not JSON, or not an event.
        """
        return cls.model_validate(orjson.loads(body))
