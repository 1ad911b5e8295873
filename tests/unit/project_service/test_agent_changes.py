"""What the next version of an agent says."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from project_service.agents.schemas import AGENT_EXAMPLE, Agent, UpdateAgent
from project_service.agents.service import changed

AGENT = Agent.model_validate(AGENT_EXAMPLE)
WHICH = {"projectId": "p", "agentId": "a"}


def next_version(**change: Any) -> dict[str, Any]:
    return changed(AGENT, UpdateAgent.model_validate({**WHICH, **change}))


def test_what_is_not_given_stays() -> None:
    content = next_version(name="Night desk")
    assert content["name"] == "Night desk"
    assert content["system_instruction"] == AGENT.system_instruction
    assert content["settings"].first_message == AGENT.first_message


def test_settings_change_one_by_one() -> None:
    settings = next_version(maxCallSeconds=60, recordingEnabled=False)["settings"]
    assert (settings.max_call_seconds, settings.recording_enabled) == (60, False)
    assert settings.first_message == AGENT.first_message


def test_null_takes_a_first_message_away_and_leaves_a_name_alone() -> None:
    content = next_version(firstMessage=None, name=None)
    assert content["settings"].first_message is None
    assert content["name"] == AGENT.name


def test_a_change_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least one field"):
        UpdateAgent.model_validate({**WHICH, "unknown": 1})


def test_the_example_is_an_agent_as_answers_show_it() -> None:
    assert AGENT.created_at == datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
    assert AGENT.model_dump(mode="json", by_alias=True) == AGENT_EXAMPLE
