"""Bodies of requests and answers about webhooks."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from project_service.fields import PROJECT_ID, Id, Moment
from shared.moments import GivenMoment
from shared.pagination import PageQuery

DELIVERY_ID = "0192f0c1-4444-7c44-9f3e-1b2a4c5d6e7f"
CALL_ID = "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f"

Status = Literal["pending", "waiting", "delivered", "parked"]


class Attempt(BaseModel):
    """One request to the customer's URL. `error` says in one word why no answer came."""

    at: Moment
    url: str
    http_status: int | None
    error: str | None
    duration_ms: int


class Delivery(BaseModel):
    """One event on its way to a project's URL. `waiting`: an earlier event of the same call is not through yet."""

    id: str
    project_id: str = Field(serialization_alias="projectId")
    type: str
    subject: str
    status: Status
    attempts: int
    next_attempt_at: Moment | None
    created_at: Moment
    finished_at: Moment | None
    log: list[Attempt]


class DeliveryQuery(PageQuery):
    """Filters and page of the delivery log."""

    project_id: Id | None = Field(None, alias="projectId")
    status: Status | None = None


class DeliveryList(BaseModel):
    """A page of the delivery log, newest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "data": [
                    {
                        "id": DELIVERY_ID,
                        "projectId": PROJECT_ID,
                        "type": "call.completed",
                        "subject": CALL_ID,
                        "status": "delivered",
                        "attempts": 1,
                        "next_attempt_at": None,
                        "created_at": "2026-11-25T09:00:32.000Z",
                        "finished_at": "2026-11-25T09:00:32.120Z",
                        "log": [
                            {
                                "at": "2026-11-25T09:00:32.020Z",
                                "url": "https://example.com/talkstack",
                                "http_status": 200,
                                "error": None,
                                "duration_ms": 96,
                            }
                        ],
                    }
                ],
                "next_cursor": None,
            }
        }
    )

    data: list[Delivery]
    next_cursor: str | None


class ReplayQuery(BaseModel):
    """Which deliveries are sent again: those of events since this moment."""

    model_config = ConfigDict(extra="forbid")

    since: GivenMoment
    until: GivenMoment | None = None
    project_id: Id | None = Field(None, alias="projectId")
    status: Literal["delivered", "parked"] | None = None


class Replayed(BaseModel):
    """How many deliveries go out again."""

    model_config = ConfigDict(json_schema_extra={"example": {"replayed": 12}})

    replayed: int


class EndpointReference(BaseModel):
    """Which project's webhook."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"projectId": PROJECT_ID}})

    project_id: Id = Field(alias="projectId")


class DeliveryReference(BaseModel):
    """The delivery that was queued; look it up in the log."""

    model_config = ConfigDict(json_schema_extra={"example": {"deliveryId": DELIVERY_ID}})

    delivery_id: str = Field(serialization_alias="deliveryId")


class RotatedSecret(BaseModel):
    """The new secret, shown this once. Until `previousValidUntil` messages carry a signature by each."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "signingSecret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "previousValidUntil": "2026-11-26T09:00:00.000Z",
            }
        }
    )

    signing_secret: str = Field(serialization_alias="signingSecret")
    previous_valid_until: Moment = Field(serialization_alias="previousValidUntil")
