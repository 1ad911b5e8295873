"""From the agent a call runs with to what the voice loop wants to know."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from call_service.calls.domain import Call
from call_service.voice.brain.introducing import introduction_of
from call_service.voice.endpointing import EndpointingOptions
from call_service.voice.options import DetectionPolicy, SessionOptions
from call_service.voice.phrases import phrases_in
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


def session_options(call: Call) -> SessionOptions:
    """How the conversation is to be held."""
    options = _options(call.agent, profile_of(call))
    return _towards_caller(options) if call.direction == "inbound" else options


def _towards_caller(options: SessionOptions) -> SessionOptions:
    """Who calls waits to be greeted, and is no machine."""
    no_machine = DetectionPolicy(is_on=False, ignores_voicemail=True)
    return replace(options, hello_wait=timedelta(0), detection=no_machine)


def _options(agent: Mapping[str, Any], profile: AgentProfile) -> SessionOptions:
    voicemail = agent["voicemail"]
    detection = agent.get("detection") or {}
    action = detection.get("voicemail") or voicemail["action"]
    return SessionOptions(
        voice_id=agent["voice_id"],
        phrases=phrases_in(profile.language),
        voicemail_message=voicemail["message"] if action == "leave_message" else None,
        detection=DetectionPolicy(
            ignores_voicemail=action == "continue",
            screening=detection.get("screening", "answer"),
            ivr=_in_menus(agent, detection),
            introduction=introduction_of(profile),
        ),
        endpointing=_endpointing(agent.get("turnTaking") or {}),
        rescue_number=(agent.get("onFailure") or {}).get("transferTo"),
        silence_timeout=timedelta(seconds=agent["silenceTimeoutSeconds"]),
        max_duration=timedelta(seconds=agent["maxCallSeconds"]),
    )


def _in_menus(agent: Mapping[str, Any], detection: Mapping[str, Any]) -> Literal["hang_up", "continue", "navigate"]:
    """Who can press keys gets through menus, unless it is told to hang up on them."""
    if detection.get("ivr") == "hang_up":
        return "hang_up"
    return "navigate" if any(tool["type"] == "sendDtmf" for tool in agent.get("tools") or ()) else "continue"


def _endpointing(chosen: Mapping[str, Any]) -> EndpointingOptions:
    """The wait after a yes/no question is never longer than the usual one, that for numbers never shorter."""
    usual = EndpointingOptions()
    wait_ms = chosen.get("waitMs", usual.wait_ms)
    return EndpointingOptions(
        strategy=chosen.get("strategy", usual.strategy),
        wait_ms=wait_ms,
        wait_yes_no_ms=min(usual.wait_yes_no_ms, wait_ms),
        wait_digits_ms=max(usual.wait_digits_ms, wait_ms),
    )
