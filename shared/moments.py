"""Moments that requests give."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, FutureDatetime


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1 and 9999, in UTC") from None


GivenMoment = Annotated[AwareDatetime, AfterValidator(_utc)]
"""An RFC 3339 date-time, which has an offset; in UTC."""

FutureMoment = Annotated[datetime, AwareDatetime, FutureDatetime, AfterValidator(_utc)]
"""A `GivenMoment` that is not past yet."""
