"""Calls that a bot holds, in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from call_service.carriers.port import FRAME_MS, Cause, DtmfReceived, Ended
from call_service.voice.bot_session import BotSession, session_of
from call_service.voice.bots import BotAtWork, BotListener
from call_service.voice.engines.bundle import Engines
from call_service.voice.engines.null import LevelActivity
from call_service.voice.fallback import Switch
from call_service.voice.memory_leg import MemoryLeg
from call_service.voice.options import Phrases, SessionOptions
from call_service.voice.ports import EndCall, EngineError, Say, Turn
from call_service.voice.session import VoiceSession
from tests.unit.voice.conftest import (
    Call,
    Scenario,
    ScriptedConversation,
    ScriptedRecognizer,
    SlowSynthesizer,
    VirtualLoop,
)

OPTIONS = SessionOptions(hello_wait=timedelta(milliseconds=500))
PIPELINE_HELLO = "Hello this is Anna."
GONE = EngineError("s2s", "gone")
LONGEST_SILENCE_MS = 2_500


def sound(ms: int) -> bytes:
    return b"\x88\x13" * (8 * ms)


@dataclass
class FakeBot:
    heard: bytearray = field(default_factory=bytearray)
    pressed: str = ""
    marks: list[str] = field(default_factory=list)
    is_abandoned: bool = False
    listener: BotListener | None = None

    def begin(self, listener: BotListener) -> None:
        self.listener = listener

    def hear(self, frame: bytes) -> None:
        self.heard += frame

    def press(self, digit: str) -> None:
        self.pressed += digit

    def played(self, mark: str) -> None:
        self.marks.append(mark)

    def abandon(self) -> None:
        self.is_abandoned = True

    def say(self, ms: int) -> None:
        assert self.listener
        self.listener.on_sound(sound(ms))

    def fall_silent(self, ms: int) -> None:
        assert self.listener
        self.listener.on_sound(bytes(16 * ms))

    def mark(self, name: str) -> None:
        assert self.listener
        self.listener.on_mark(name)

    def clear(self) -> None:
        assert self.listener
        self.listener.on_clear()

    def end(self, error: EngineError | None = None) -> None:
        assert self.listener
        self.listener.on_end(error)


@dataclass
class BotCall(Call):
    bot: FakeBot = field(default_factory=FakeBot)
    scribe: ScriptedRecognizer = field(default_factory=ScriptedRecognizer)
    patience: timedelta | None = timedelta(seconds=5)
    switches: list[Switch] = field(default_factory=list)

    def open_session(self) -> VoiceSession:
        at_work = BotAtWork("pipecat", self.bot, self.scribe, self.switches.append, self.patience)
        engines = Engines(self.recognizer, self.synthesizer, LevelActivity)
        return session_of(at_work)(self.leg, engines, self.conversation, self.options, self.notes)

    @property
    def longest_silence_ms(self) -> int:
        silent = longest = 0
        for at in range(0, len(self.played), 320):
            silent = 0 if any(self.played[at : at + 320]) else silent + FRAME_MS
            longest = max(longest, silent)
        return longest

    def texts(self, role: str) -> list[tuple[str, bool]]:
        return [(turn.text, turn.interrupted) for turn in self.result.turns if turn.role == role]


Held = Callable[..., BotCall]


@pytest.fixture
def hold(in_virtual_time: Callable[[Coroutine[Any, Any, Call]], Call]) -> Held:
    def run(
        callee: Callable[[BotCall], Coroutine[Any, Any, None]],
        *,
        hears: tuple[str | Exception, ...] = (),
        says: tuple[str | Exception, ...] = (),
        patience: timedelta | None = timedelta(seconds=5),
        **script: Any,
    ) -> BotCall:
        async def main() -> Call:
            recognizer = ScriptedRecognizer(list(hears), is_busy=True)
            call = BotCall(
                ScriptedConversation(**script),
                recognizer,
                SlowSynthesizer(),
                OPTIONS,
                scribe=ScriptedRecognizer(list(says), is_busy=True),
                patience=patience,
            )

            async def acted(_call: Call) -> None:
                await callee(call)

            scenario: Scenario = acted
            await call.run(scenario)
            return call

        called = in_virtual_time(main())
        assert isinstance(called, BotCall)
        return called

    return run


async def greet(call: BotCall, ms: int = 600) -> None:
    await call.wait(0.3)
    call.bot.say(ms)
    await call.wait(ms / 1000 + 0.8)


def test_a_call_without_a_bot_has_the_ordinary_session() -> None:
    assert session_of(None) is VoiceSession


def test_both_hear_each_other_and_both_are_written_down(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        assert isinstance(call.session, BotSession)
        await greet(call)
        await call.hum(700)
        await call.wait(0.9)
        call.bot.say(800)
        call.bot.fall_silent(2_000)
        await call.wait(0.1)
        call.bot.end()

    call = hold(callee, hears=("I want a table.",), says=("Bot's hello.", "Bot's goodbye."))
    assert (call.result.status, call.result.reason, call.result.fault) == ("completed", "agent_hung_up", "none")
    assert call.said == [("agent", "Bot's hello."), ("user", "I want a table."), ("agent", "Bot's goodbye.")]
    assert len(call.played.replace(b"\0", b"")) == 16 * (600 + 800)  # all of it, also what came before it hung up
    assert (
        sum(map(any, (call.bot.heard[at : at + 320] for at in range(0, len(call.bot.heard), 320)))) == 700 // FRAME_MS
    )
    assert call.switches == []
    assert call.conversation.heard == []
    assert len(call.played) / 16 - call.notes.turns[-1].end_ms < 500  # nobody waits for silence that it has sent
    answer = call.notes.timings[-1]
    assert 900 <= (answer.voice_to_voice_ms or 0) <= 1_100
    assert answer.playout_ms == pytest.approx(800, abs=60)
    assert call.notes.starts == ["agent", "user", "agent"]


def test_what_the_callee_says_into_the_goodbye_is_written_down(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await call.wait(0.3)
        call.bot.say(4_000)
        call.bot.end()
        await call.hum(600)

    call = hold(callee, hears=("Thanks, bye.",), says=("A long goodbye.",))
    assert sorted(call.said) == [("agent", "A long goodbye."), ("user", "Thanks, bye.")]
    [goodbye] = [turn for turn in call.result.turns if turn.role == "agent"]
    assert goodbye.end_ms - goodbye.start_ms == pytest.approx(4_000, abs=100)
    assert (call.result.reason, call.switches) == ("agent_hung_up", [])


def test_the_bot_decides_who_may_interrupt(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await call.wait(0.3)
        call.bot.say(5_000)
        await call.hum(1_500)
        queued_ms = call.leg.queued_ms
        assert queued_ms > 3_000  # an ordinary agent would have fallen silent
        call.bot.clear()
        assert call.leg.queued_ms == 0
        await call.wait(1)
        call.bot.say(400)
        await call.wait(0.6)
        call.bot.end()

    call = hold(callee, hears=("Stop, please.",), says=("A long sen", "Sure."))
    assert call.texts("agent") == [("A long sen", True), ("Sure.", False)]
    assert call.texts("user") == [("Stop, please.", False)]


def test_marks_come_back_when_they_were_played_or_dropped(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await call.wait(0.3)
        call.bot.say(1_000)
        call.bot.mark("first")
        call.bot.say(1_000)
        call.bot.mark("second")
        await call.wait(0.8)
        assert call.bot.marks == []
        await call.wait(0.5)
        assert call.bot.marks == ["first"]
        call.bot.clear()
        assert call.bot.marks == ["first", "second"]
        call.bot.end()

    hold(callee)


def test_keys_go_to_the_bot_one_by_one(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await greet(call)
        for digit in "4#":
            call.session.on_leg_event(DtmfReceived(digit))
        await call.wait(3)
        call.leg.end()

    call = hold(callee, says=("Hello.",))
    assert call.bot.pressed == "4#"
    assert call.texts("user") == []
    assert (call.result.reason, call.bot.is_abandoned) == ("callee_hung_up", False)


@pytest.mark.parametrize("error", [None, GONE], ids=["hangs-up", "breaks"])
def test_one_that_goes_without_a_word_is_replaced_from_the_start(hold: Held, error: EngineError | None) -> None:
    async def callee(call: BotCall) -> None:
        await call.wait(0.1)
        call.bot.end(error)

    call = hold(callee, first=(Say(PIPELINE_HELLO), EndCall()))
    assert call.said == [("agent", PIPELINE_HELLO)]
    assert [(one.stage, one.engine, one.successor, one.why) for one in call.switches] == [
        ("s2s", "pipecat", "pipeline", "failed")
    ]
    assert call.longest_silence_ms <= LONGEST_SILENCE_MS
    assert call.bot.is_abandoned


def test_one_that_never_answers_is_waited_for_in_words_and_then_replaced(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await call.until_agent_spoke(1)

    call = hold(callee, first=(Say(PIPELINE_HELLO), EndCall()), says=Phrases().fillers)
    assert [text for text, _ in call.texts("agent")] == [*Phrases().fillers, PIPELINE_HELLO]
    [switch] = call.switches
    assert switch.why == "late"
    assert call.longest_silence_ms <= LONGEST_SILENCE_MS
    assert call.result.turns[-1].start_ms == pytest.approx(6_000, abs=1_500)


def test_what_it_did_not_answer_is_answered_by_the_pipeline(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await greet(call)
        await call.hum(700)
        await call.until_agent_spoke(2)
        await call.wait(1)
        await call.hum(600)

    call = hold(
        callee,
        hears=("When do you open?", "Thanks."),
        says=("Bot's hello.", *Phrases().fillers),
        replies=[(Say("We open at nine."),), (Say("Goodbye."), EndCall())],
    )
    assert call.conversation.heard == ["When do you open?", "Thanks."]
    assert next(turn.text for turn in call.conversation.histories[0]) == "Bot's hello."
    assert "When do you open?" not in [turn.text for turn in call.conversation.histories[0]]
    assert [one.why for one in call.switches] == ["late"]
    assert call.longest_silence_ms <= LONGEST_SILENCE_MS + 800 + 700  # so long it is the callee's turn
    assert call.texts("agent")[-2:] == [("We open at nine.", False), ("Goodbye.", False)]


def test_one_that_breaks_in_the_middle_of_a_sentence_is_asked_about_again(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await call.wait(0.3)
        call.bot.say(10_000)
        await call.wait(2)
        call.bot.end(GONE)
        await call.until_agent_spoke(2)
        await call.wait(1)
        await call.hum(600)

    call = hold(callee, hears=("Go on.",), says=("A long sen",), replies=[(Say("Well."), EndCall())])
    assert [text for text, _ in call.texts("agent")] == ["A long sen", Phrases().repeat, "Well."]
    assert call.texts("agent")[0] == ("A long sen", True)
    assert call.result.turns[0].end_ms <= 300 + 2_000 + 3_000 + 200  # it is not heard much longer
    assert call.conversation.heard == ["Go on."]


def test_one_that_breaks_while_nobody_waits_for_it_leaves_the_word_to_the_callee(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await greet(call)
        call.bot.end(GONE)
        await call.wait(1)
        await call.hum(600)

    call = hold(callee, hears=("Are you there?",), says=("Hello.",), replies=[(Say("Yes. Bye."), EndCall())])
    assert call.said == [("agent", "Hello."), ("user", "Are you there?"), ("agent", "Yes. Bye.")]


@pytest.mark.parametrize("gone_after_ms", range(640, 780, 20))
def test_words_are_answered_whenever_it_breaks(hold: Held, gone_after_ms: int) -> None:
    """Once, words whose end came in the very frame in which the bot broke were only written down."""

    async def callee(call: BotCall) -> None:
        call.recognizer.seconds = 0.0
        await greet(call)
        await call.hum(700)
        await call.wait((gone_after_ms - 400) / 1000)
        call.bot.end(GONE)

    call = hold(callee, hears=("When?",), says=("Hello.",), replies=[(Say("At nine."), EndCall())])
    assert call.said == [("agent", "Hello."), ("user", "When?"), ("agent", "At nine.")]


def test_words_that_are_understood_after_it_broke_are_answered(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        call.recognizer.seconds = 0.5
        await greet(call)
        await call.hum(700)
        await call.wait(0.7)  # the turn is over, and being recognised
        call.bot.end(GONE)

    call = hold(callee, hears=("When?",), says=("Hello.",), replies=[(Say("At nine."), EndCall())])
    assert call.said == [("agent", "Hello."), ("user", "When?"), ("agent", "At nine.")]


def test_speech_with_more_gaps_than_sound_is_a_failure(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await call.wait(0.3)
        while not call.switches:
            call.bot.say(200)
            await call.wait(0.9)

    call = hold(callee, first=(), patience=timedelta(seconds=2), replies=[(EndCall(),)], silences=[(EndCall(),)])
    assert [one.why for one in call.switches] == ["late"]
    assert call.switches[0].error == "its speech has more gaps than sound"
    assert call.longest_silence_ms < 9_000  # the pipeline waits for the callee and gives up


def test_uneven_pieces_in_time_are_none(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await call.wait(0.3)
        for number in range(200):
            call.bot.say(40)
            await call.wait(0.02 if number % 2 else 0.06)
        call.bot.end()

    call = hold(callee, patience=timedelta(seconds=1))
    assert (call.switches, call.result.reason) == ([], "agent_hung_up")


def test_a_bot_may_be_silent_after_uh_huh_and_noise(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await greet(call)
        await call.hum(300)
        await call.wait(6)
        await call.hum(300)
        await call.wait(6)
        call.bot.end()

    call = hold(callee, hears=("Uh-huh.", ""), says=("I look it up.",))
    assert call.switches == []
    assert call.texts("agent") == [("I look it up.", False)]


def test_a_bot_without_a_limit_may_be_silent_for_ever(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await greet(call)
        await call.hum(700)
        await call.wait(60)
        call.leg.end()

    call = hold(callee, hears=("Think about it.",), says=("Hello.",), patience=None)
    assert call.switches == []
    assert call.said == [("agent", "Hello."), ("user", "Think about it.")]
    assert call.result.reason == "callee_hung_up"


def test_who_is_not_understood_is_owed_an_answer_too(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await greet(call)
        await call.hum(700)

    call = hold(callee, hears=(EngineError("stt", "broken"),), says=("Hello.",), silences=[(EndCall(),)])
    assert [one.why for one in call.switches] == ["late"]
    assert (Phrases().repeat, False) in call.texts("agent")


def test_an_announcement_is_heard_instead_of_the_bot(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await call.wait(0.3)
        call.bot.say(20_000)
        call.bot.mark("end")
        await call.wait(1)
        told = asyncio.create_task(call.session.announce("The line is recorded."))
        await call.wait(0.5)
        assert call.bot.marks == ["end"]
        call.bot.say(5_000)  # nobody hears it
        call.bot.mark("muted")
        assert await told
        assert call.leg.queued_ms == 0
        assert call.bot.marks == ["end", "muted"]
        call.bot.say(400)
        await call.wait(1)
        call.bot.end()

    call = hold(callee, says=("A long sen", "Well."))
    assert call.texts("agent") == [("A long sen", True), ("The line is recorded.", False), ("Well.", False)]


def test_the_end_is_announced_by_the_session(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await greet(call)
        call.session.request_end("caller_api_ended")
        await call.wait(0.1)
        call.bot.say(5_000)

    call = hold(callee, says=("Hello.",))
    assert (call.result.status, call.result.reason) == ("completed", "caller_api_ended")
    assert [text for text, _ in call.texts("agent")] == ["Hello.", Phrases().goodbye]


def test_while_the_call_is_paused_the_bot_hears_silence_and_is_not_heard(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await greet(call)
        call.bot.say(5_000)
        assert call.session.pause()
        assert call.leg.queued_ms == 0
        before = len(call.bot.heard)
        call.bot.say(1_000)
        await call.hum(500)
        assert call.leg.queued_ms == 0
        assert len(call.bot.heard) - before == pytest.approx(16 * 500, abs=640)
        assert not any(call.bot.heard[before:])
        await call.wait(8)
        call.session.resume()
        call.bot.say(300)
        await call.wait(0.4)
        call.bot.end()

    call = hold(callee, says=("Hello.", "Back."))
    assert call.switches == []


def test_the_api_can_cut_it_off(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await call.wait(0.3)
        call.bot.say(5_000)
        await call.wait(1)
        call.session.interrupt()
        assert call.leg.queued_ms == 0
        await call.wait(1)
        call.bot.end()

    call = hold(callee, says=("A long sen",))
    assert call.texts("agent") == [("A long sen", True)]


def test_a_call_that_the_callee_ends_has_the_words_that_were_just_said(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await call.wait(0.3)
        call.bot.say(5_000)
        await call.wait(1)
        call.session.on_leg_event(Ended(Cause.CALLEE_HUNG_UP))

    call = hold(callee, says=("A long sen",))
    assert call.said == [("agent", "A long sen")]
    assert call.leg.has_ended


def test_a_bot_whose_words_nobody_understands_still_talks(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await greet(call)
        call.bot.end()

    call = hold(callee, says=(EngineError("stt", "broken"),))
    assert (call.said, call.result.reason) == ([], "agent_hung_up")
    assert call.result.turns == tuple[Turn, ...]()


# ---- while somebody else talks with the callee -----------------------------------------------------------------


def test_one_that_leaves_while_the_call_is_held_hangs_up_when_the_callee_is_back(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await greet(call)
        assert call.session.pause()
        call.bot.end()
        await call.wait(20)
        assert not call.leg.has_ended
        call.session.resume()
        await call.session.announce("Nobody answers there.")

    call = hold(callee, says=("Hello.",))
    assert (call.result.reason, call.switches) == ("agent_hung_up", [])
    assert call.texts("agent")[-1] == ("Nobody answers there.", False)
    assert len(call.played) / 16 > 20_000


def test_one_that_leaves_while_the_call_is_held_does_not_keep_it_from_being_ended(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await greet(call)
        call.session.pause()
        call.bot.end()
        await call.wait(5)
        call.session.request_end("caller_api_ended")

    call = hold(callee, says=("Hello.",))
    assert call.result.reason == "caller_api_ended"
    assert call.texts("agent")[-1] == (Phrases().goodbye, False)


def test_a_goodbye_is_not_played_to_who_is_transferred_meanwhile(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await call.wait(0.3)
        call.bot.say(8_000)
        call.bot.end()
        await call.wait(2)
        assert call.session.pause()
        assert call.leg.queued_ms == 0
        await call.wait(20)
        assert not call.leg.has_ended
        call.session.resume()

    call = hold(callee, says=("A long good",))
    assert call.texts("agent") == [("A long good", True)]
    assert call.result.reason == "agent_hung_up"


def test_who_is_joined_with_somebody_has_no_bot_and_is_not_cut_off(hold: Held) -> None:
    other = MemoryLeg()

    async def callee(call: BotCall) -> None:
        await greet(call)
        assert call.session.pause()
        call.session.join(other)
        assert call.bot.is_abandoned
        before = len(call.bot.heard)
        call.bot.end()
        call.leg.clear()
        call.leg.play(sound(100))  # as the other side would
        call.session.interrupt()
        await call.hum(500)
        await call.wait(40)
        assert len(call.bot.heard) == before
        assert not call.leg.has_ended
        call.session.leave()

    call = hold(callee, says=("Hello.",))
    assert (call.result.status, call.result.reason, call.switches) == ("completed", "transferred", [])
    assert len(call.played.replace(b"\0", b"")) == 16 * (600 + 100)
    assert other.queued_ms > 0


# ---- what goes wrong beside it ---------------------------------------------------------------------------------


def test_words_whose_recognition_failed_as_the_bot_did_are_asked_for_again(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        call.recognizer.seconds = 0.5
        await greet(call)
        await call.hum(700)
        await call.wait(0.7)
        call.bot.end(GONE)
        await call.until_agent_spoke(2)
        await call.wait(1)
        await call.hum(700)

    call = hold(
        callee, hears=(EngineError("stt", "broken"), "When?"), says=("Hello.",), replies=[(Say("Nine."), EndCall())]
    )
    assert call.said[1:] == [("agent", Phrases().repeat), ("user", "When?"), ("agent", "Nine.")]
    assert (call.result.status, call.result.reason) == ("completed", "agent_hung_up")


def test_an_announcement_that_cannot_be_said_leaves_the_bot_alone(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await greet(call)
        call.synthesizer.error = EngineError("tts", "down")
        assert not await call.session.announce("The line is recorded.")
        call.bot.say(400)
        await call.wait(1)
        call.bot.end()

    call = hold(callee, says=("Hello.", "Well."))
    assert (call.result.status, call.result.reason) == ("completed", "agent_hung_up")
    assert call.texts("agent") == [("Hello.", False), ("Well.", False)]


@pytest.mark.parametrize("has_left", [False, True], ids=["live", "left"])
def test_what_it_has_sent_is_not_played_to_the_end_of_a_call_that_is_ended(hold: Held, *, has_left: bool) -> None:
    async def callee(call: BotCall) -> None:
        await call.wait(0.3)
        call.bot.say(60_000)
        if has_left:
            call.bot.end()
        await call.wait(1)
        call.session.request_end("caller_api_ended")
        assert call.leg.queued_ms == 0

    call = hold(callee, says=("A long sen",))
    assert call.texts("agent")[0] == ("A long sen", True)
    assert call.texts("agent")[-1] == (Phrases().goodbye, False)
    assert call.result.reason == "caller_api_ended"
    assert len(call.played) / 16 < 10_000


def test_a_call_that_is_cancelled_while_the_last_words_are_written_down_leaves_nothing_behind() -> None:
    async def callee(call: Call) -> None:
        assert isinstance(call, BotCall)
        await call.wait(0.3)
        call.bot.say(800)
        await call.wait(0.5)
        call.leg.end()

    async def main() -> None:
        scribe = ScriptedRecognizer(seconds=3, is_busy=True)
        recognizer = ScriptedRecognizer(is_busy=True)
        call = BotCall(ScriptedConversation(), recognizer, SlowSynthesizer(), OPTIONS, scribe=scribe)
        running = asyncio.create_task(call.run(callee))
        await asyncio.sleep(2)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.sleep(0.1)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def test_what_the_callee_says_to_a_bot_before_it_hangs_up_is_in_the_transcript(hold: Held) -> None:
    async def callee(call: BotCall) -> None:
        await greet(call)
        call.recognizer.seconds = 1.0
        await call.hum(600)
        call.leg.end()

    call = hold(callee, hears=("Never call me again.",), says=("Hello.",))
    assert call.texts("user") == [("Never call me again.", False)]
