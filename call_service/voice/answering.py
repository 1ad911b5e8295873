"""Who answered the call, and what follows from it by the agent's policy."""

import asyncio
from datetime import timedelta
from typing import Literal, Protocol

from call_service.voice.amd import BeepDetector
from call_service.voice.detection import (
    GREETS_WITHIN_MS,
    Detector,
    Verdict,
    asks_to_wait,
    asks_who_calls,
    puts_on_hold,
    sounds_like_menu,
)
from call_service.voice.endings import IVR, SCREENING
from call_service.voice.options import DetectionPolicy, Outcome
from call_service.voice.ports import Turn
from call_service.voice.requests import Announcement

GREETING_OVER_MS = 3_000
SCREENING_PATIENCE = timedelta(seconds=60)
MENU_PATIENCE = timedelta(seconds=90)


class AnsweringHooks(Protocol):
    """What a session does about who answered."""

    def now_ms(self) -> int:
        """Milliseconds since the answer."""

    def detected(self, verdict: Verdict) -> None:
        """It is known who answered, or known better."""

    def found_machine(self) -> None:
        """A voicemail answered."""

    def hang_up_on(self, outcome: Outcome) -> None:
        """This callee is not talked to."""

    def introduce(self, announcement: Announcement) -> bool:
        """Say who calls; False when nothing is said any more."""


class Answering:
    """Hears the callee beside the conversation: the lengths of speech, words and beeps."""

    def __init__(self, policy: DetectionPolicy, hooks: AnsweringHooks) -> None:
        self._policy = policy
        self._hooks = hooks
        self._detector = Detector()
        self._beeps = BeepDetector()
        self._introduced: asyncio.Future[bool] | None = None
        self.is_in_menu = False
        """Was the last that was heard a recorded menu, which the agent finds its way through, or is it on hold?"""
        self.may_leave_message = asyncio.Event()
        """Has the machine beeped, or is its greeting over?"""

    @property
    def is_screened(self) -> bool:
        """Is an assistant asking on behalf of a person, and do we answer it?"""
        verdict = self._detector.verdict
        return self._policy.screening == "answer" and verdict is not None and verdict.kind == "screening"

    @property
    def patience(self) -> timedelta | None:
        """How long the silence of what answered is waited for; None as for a person."""
        if self.is_screened:
            return SCREENING_PATIENCE
        return MENU_PATIENCE if self.is_in_menu else None

    def hear(self, frame: bytes, *, silence_ms: int, is_ending: bool) -> None:
        """20 ms of the callee, whose last voice was `silence_ms` ago. `is_ending`: the outcome is decided already."""
        self._take(self._detector.tick(is_voiced=not silence_ms))
        if is_ending:
            if self._beeps.feed(frame) or silence_ms >= GREETING_OVER_MS:
                self.may_leave_message.set()
        elif self._hooks.now_ms() < GREETS_WITHIN_MS and self._beeps.feed(frame):
            self.machine("beep", beep=True)

    def machine(self, by: Literal["beep", "carrier"], *, beep: bool) -> None:
        """A machine answered, and has beeped or not."""
        self._take(self._detector.machine(by))
        self._found_machine(beep=beep)

    def words(self, said: Turn) -> None:
        """The callee said something, or typed it."""
        is_menu = sounds_like_menu(said.text) or puts_on_hold(said.text)
        is_menu = is_menu or (self.is_in_menu and asks_to_wait(said.text))
        self.is_in_menu = self._policy.ivr == "navigate" and is_menu
        if said.start_ms < GREETS_WITHIN_MS or self.is_screened:
            self._take(self._detector.words(said.text))
        if self.is_screened:
            self._introduce(said.text)

    def _take(self, verdict: Verdict | None) -> None:
        if verdict is None or not self._policy.is_on:
            return
        self._hooks.detected(verdict)
        if verdict.kind == "voicemail" and verdict.by == "words":
            self._found_machine(beep=False)
        elif verdict.kind == "screening" and self._policy.screening == "hang_up":
            self._hooks.hang_up_on(SCREENING)
        elif verdict.kind == "ivr" and self._policy.ivr == "hang_up":
            self._hooks.hang_up_on(IVR)

    def _found_machine(self, *, beep: bool) -> None:
        if beep:
            self.may_leave_message.set()
        if not self._policy.ignores_voicemail:
            self._hooks.found_machine()

    def _introduce(self, asked: str) -> None:
        """Tell a screening assistant who calls: when it asks, and again where it has not heard it to the end."""
        before = self._introduced
        if before and (not before.done() or (before.result() and not asks_who_calls(asked))):
            return
        self._introduced = asyncio.get_running_loop().create_future()
        if not self._hooks.introduce(Announcement(self._policy.introduction, self._introduced)):
            self._introduced.set_result(False)
