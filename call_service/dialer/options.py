"""From the agent a call runs with to what the voice loop wants to know."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from call_service.calls.domain import Call
from call_service.voice.options import SessionOptions
from call_service.voice.ports import AgentProfile


def profile_of(call: Call) -> AgentProfile:
    """Who the brain is to be."""
    agent = call.agent
    return AgentProfile(
        name=agent["name"],
        instructions=agent["systemInstruction"],
        first_message=agent.get("firstMessage"),
        language=agent["language"],
        temperature=agent["temperature"],
        variables=call.dynamic_variables,
    )


def session_options(agent: Mapping[str, Any]) -> SessionOptions:
    """How the conversation is to be held."""
    voicemail = agent["voicemail"]
    return SessionOptions(
        voice_id=agent["voice_id"],
        voicemail_message=voicemail["message"] if voicemail["action"] == "leave_message" else None,
        silence_timeout=timedelta(seconds=agent["silenceTimeoutSeconds"]),
        max_duration=timedelta(seconds=agent["maxCallSeconds"]),
    )
