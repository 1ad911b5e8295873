"""From the agent's settings to the conversation: what is done with machines, and how the agent introduces itself."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from call_service.dialer.options import session_options
from call_service.voice.brain.introducing import NO_REASON, introduction_of
from call_service.voice.options import Phrases
from call_service.voice.phrases import phrases_in
from call_service.voice.ports import AgentProfile
from tests.support.calls import agent
from tests.support.ended_calls import ended_call

LEAVE = {"action": "leave_message", "message": "Call us back."}
HANG_UP = {"action": "hang_up", "message": "Call us back."}


@pytest.mark.parametrize(
    ("settings", "message", "ignores"),
    [
        ({"voicemail": LEAVE}, "Call us back.", False),
        ({"voicemail": HANG_UP}, None, False),
        ({"voicemail": HANG_UP, "detection": {"voicemail": "leave_message"}}, "Call us back.", False),
        ({"voicemail": LEAVE, "detection": {"voicemail": "hang_up"}}, None, False),
        ({"voicemail": LEAVE, "detection": {"voicemail": "continue"}}, None, True),
        ({"voicemail": LEAVE, "detection": {"voicemail": None}}, "Call us back.", False),
    ],
)
def test_voicemail(settings: dict[str, Any], message: str | None, ignores: bool) -> None:
    options = session_options(ended_call(agent=agent(**settings)))
    assert (options.voicemail_message, options.detection.ignores_voicemail) == (message, ignores)


def test_screening_is_answered_and_menus_are_not_hung_up_on_unless_told() -> None:
    detection = session_options(ended_call(agent=agent())).detection
    assert (detection.screening, detection.ivr) == ("answer", "continue")
    wanted = {"voicemail": None, "screening": "hang_up", "ivr": "hang_up"}
    detection = session_options(ended_call(agent=agent(detection=wanted))).detection
    assert (detection.screening, detection.ivr) == ("hang_up", "hang_up")


@pytest.mark.parametrize(
    ("language", "filler"),
    [("en-US", "One moment, please."), ("de-DE", "Einen Moment, bitte."), ("ES", "Un momento, por favor.")],
)
def test_the_session_speaks_the_agents_language(language: str, filler: str) -> None:
    assert session_options(ended_call(agent=agent(language=language))).phrases.fillers[0] == filler


def test_languages_without_phrases_of_their_own_get_the_english_ones() -> None:
    assert phrases_in("ja-JP") == Phrases()


@pytest.mark.parametrize("language", ["de", "es", "fr", "it", "nl", "pt"])
def test_no_phrase_of_a_language_was_forgotten(language: str) -> None:
    spoken, english = asdict(phrases_in(language)), asdict(Phrases())
    assert [name for name, phrase in spoken.items() if phrase == english[name] or not phrase] == []


PROFILE = AgentProfile("Maya", "You are Tom of Acme. You are calling the customer to remind them of the appointment.")


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (PROFILE, ("Tom from Acme", "appointment")),
        (replace(PROFILE, instructions="You are Maya of Bright Dental."), ("Maya from Bright Dental", NO_REASON)),
        (
            replace(
                PROFILE,
                instructions="You are Maya of Bright Dental.",
                first_message="Hello, this is Maya. Your glasses are ready. When can you come?",
            ),
            ("Maya from Bright Dental. Your glasses are ready.",),
        ),
    ],
)
def test_the_introduction_tells_who_and_why(profile: AgentProfile, said: tuple[str, ...]) -> None:
    introduction = introduction_of(profile)
    for part in said:
        assert part in introduction
    assert "?" not in introduction
