"""Bodies of requests and answers about commands to a live call."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from call_service.calls.commands import Command, Kind, State
from shared.clock import rfc3339
from shared.e164 import check_e164
from shared.envelope import Success

_CALL = "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f"
_SIP_URI = re.compile(r"sip:[A-Za-z0-9.!~*'()&=+$,;?/_%-]{1,128}@[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?")

Spoken = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


def _target(text: str) -> str:
    return text if _SIP_URI.fullmatch(text) else check_e164(text)


class SayRequest(BaseModel):
    """What the agent is to say next. `interrupt`: it breaks off what it is saying; else it finishes that first."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"text": "Your table is ready.", "interrupt": False}}
    )

    text: Spoken
    interrupt: bool = False


class DtmfRequest(BaseModel):
    """Keys to press towards the other party, each for `toneMs` milliseconds."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"digits": "42#", "toneMs": 100}})

    digits: Annotated[str, StringConstraints(pattern=r"^[0-9*#A-D]{1,32}$")]
    tone_ms: int = Field(100, alias="toneMs", ge=40, le=1000)


class TransferRequest(BaseModel):
    """Who the other party is to talk with: a number in E.164, or a SIP URI of the trunk that carries the call.

    `blind` hands the call over to the network. `warm` calls the target, says `announcement` to it, and joins the two.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"to": "+12025550100", "mode": "warm", "announcement": "Anna Miller wants to book a table."}
        },
    )

    to: Annotated[str, StringConstraints(max_length=400), AfterValidator(_target)]
    mode: Literal["blind", "warm"] = "blind"
    announcement: Spoken | None = None

    @model_validator(mode="after")
    def _announces_what_is_warm(self) -> Self:
        if (self.mode == "warm") != (self.announcement is not None):
            raise ValueError("A warm transfer needs an announcement; a blind one has none.")
        return self


class CommandObject(BaseModel):
    """A command to a live call. `reason` says why it failed."""

    command_id: str
    call_id: str
    kind: Kind
    arguments: dict[str, Any]
    state: State
    reason: str | None
    created_at: str
    finished_at: str | None

    @classmethod
    def of(cls, command: Command) -> Self:
        """The public view of a stored command."""
        return cls(
            command_id=command.id,
            call_id=command.call_id,
            kind=command.kind,
            arguments=command.arguments,
            state=command.state,
            reason=command.reason,
            created_at=rfc3339(command.created_at),
            finished_at=rfc3339(command.finished_at) if command.finished_at else None,
        )


class CommandAnswer(Success):
    """The command and what has come of it so far."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message": "the command was accepted.",
                "status": "success",
                "command": {
                    "command_id": "0192f0c1-3333-7c44-9f3e-1b2a4c5d6e7f",
                    "call_id": _CALL,
                    "kind": "say",
                    "arguments": {"text": "Your table is ready.", "interrupt": False},
                    "state": "accepted",
                    "reason": None,
                    "created_at": "2026-11-25T09:00:10.000Z",
                    "finished_at": None,
                },
            }
        }
    )

    message: str = "the command was accepted."
    command: CommandObject
