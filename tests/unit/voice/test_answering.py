"""Who answered, and what follows from it by the agent's policy."""

from typing import Any

import pytest

from call_service.voice.answering import MENU_PATIENCE, SCREENING_PATIENCE, Answering
from call_service.voice.detection import GREETS_WITHIN_MS, Verdict
from call_service.voice.endings import IVR, SCREENING
from call_service.voice.options import DetectionPolicy, Outcome
from call_service.voice.ports import Turn
from call_service.voice.requests import Announcement

SCREENER = "Please state your name and the reason for your call."
MENU = "For sales, press one."
VOICEMAIL = "You have reached the voicemail of Anna. Please leave a message after the tone."


class Session:
    """Keeps what it is told to do."""

    def __init__(self, **policy: Any) -> None:
        self.at_ms = 0
        self.is_over = False
        self.done: list[str] = []
        self.introductions: list[Announcement] = []
        self.answering = Answering(DetectionPolicy(introduction="This is Maya.", **policy), self)

    def now_ms(self) -> int:
        return self.at_ms

    def detected(self, verdict: Verdict) -> None:
        self.done.append(verdict.kind)

    def found_machine(self) -> None:
        self.done.append("machine")

    def hang_up_on(self, outcome: Outcome) -> None:
        self.done.append(outcome.reason)

    def introduce(self, announcement: Announcement) -> bool:
        self.introductions.append(announcement)
        return not self.is_over

    def hears(self, text: str) -> None:
        self.answering.words(Turn("user", text, self.at_ms, self.at_ms + 500))


@pytest.mark.parametrize(
    ("policy", "words", "done"),
    [
        ({}, VOICEMAIL, ["voicemail", "machine"]),
        ({"ignores_voicemail": True}, VOICEMAIL, ["voicemail"]),
        ({"is_on": False}, VOICEMAIL, []),
        ({"screening": "hang_up"}, SCREENER, ["screening", SCREENING.reason]),
        ({}, SCREENER, ["screening"]),
        ({"ivr": "hang_up"}, MENU, ["ivr", IVR.reason]),
        ({}, MENU, ["ivr"]),
        ({"ivr": "hang_up"}, "Hello?", ["human"]),
    ],
)
async def test_the_policy_says_what_follows(policy: dict[str, Any], words: str, done: list[str]) -> None:
    session = Session(**policy)
    session.hears(words)
    assert session.done == done


async def test_late_words_tell_nothing() -> None:
    session = Session()
    session.at_ms = GREETS_WITHIN_MS
    session.hears(VOICEMAIL)
    assert session.done == []


async def test_a_carrier_that_finds_a_machine_is_believed() -> None:
    session = Session()
    session.answering.machine("carrier", beep=False)
    assert session.done == ["voicemail", "machine"]
    assert not session.answering.may_leave_message.is_set()
    session.answering.machine("carrier", beep=True)
    assert session.answering.may_leave_message.is_set()


async def test_a_message_is_left_after_the_greeting_even_without_a_beep() -> None:
    session = Session()
    session.answering.hear(bytes(320), silence_ms=3_000, is_ending=False)
    assert not session.answering.may_leave_message.is_set()
    session.answering.hear(bytes(320), silence_ms=2_980, is_ending=True)
    assert not session.answering.may_leave_message.is_set()
    session.answering.hear(bytes(320), silence_ms=3_000, is_ending=True)
    assert session.answering.may_leave_message.is_set()


async def test_an_assistant_is_told_who_calls_once_unless_it_asks_again_or_did_not_hear_it() -> None:
    session = Session(screening="answer")
    session.hears(SCREENER)
    session.hears(SCREENER)  # while it is said
    assert len(session.introductions) == 1
    session.introductions[0].heard.set_result(True)
    session.hears("Please stay on the line.")
    assert len(session.introductions) == 1
    session.hears(SCREENER)
    session.introductions[1].heard.set_result(False)
    session.is_over = True
    session.hears("Please stay on the line.")
    assert len(session.introductions) == 3
    assert session.introductions[2].heard.result() is False
    assert session.introductions[0].text == "This is Maya."


async def test_machines_are_waited_for_longer_than_people() -> None:
    session = Session(screening="answer", ivr="navigate")
    assert session.answering.patience is None
    session.hears(MENU)
    assert (session.answering.is_in_menu, session.answering.patience) == (True, MENU_PATIENCE)
    session.hears("Anna speaking.")
    assert (session.answering.is_in_menu, session.answering.patience) == (False, None)
    asked = Session(screening="answer")
    asked.hears(SCREENER)
    assert (asked.answering.is_screened, asked.answering.patience) == (True, SCREENING_PATIENCE)


async def test_a_person_who_asks_for_a_moment_is_not_waited_for_like_a_menu() -> None:
    session = Session(ivr="navigate")
    session.hears("One moment, please.")
    assert (session.answering.is_in_menu, session.answering.patience) == (False, None)
    for words in ("Please hold, I am connecting you.", MENU, "One moment, please."):
        session.hears(words)
        assert session.answering.patience == MENU_PATIENCE
