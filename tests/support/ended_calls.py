"""A call as stored, without a database."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from call_service.calls.domain import Call, Status

ID = "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f"


def ended_call(**changes: Any) -> Call:
    """A completed outbound call of 30.2 s with `changes`."""
    at = datetime(2026, 11, 25, 9, tzinfo=UTC)
    values: dict[str, Any] = {
        **dict.fromkeys(("id", "tenant", "project_id", "agent_id"), ID),
        "agent_version": 1,
        "agent": {},
        "direction": "outbound",
        "from_number": "+12025550199",
        "to_number": "+12025550100",
        "status": Status.COMPLETED,
        "reason": None,
        "fault": "none",
        "sip_code": None,
        "dynamic_variables": {},
        "data": {},
        "analysis": None,
        "recording": None,
        "cost": Decimal(0),
        "currency": "USD",
        "created_at": at,
        "answered_at": at,
        "ended_at": at + timedelta(seconds=30.2),
        "completed_at": None,
        "fence": 1,
    }
    return Call(**{**values, **changes})
