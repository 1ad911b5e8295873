"""Calls with a known answerer, as a detector meets them: what is said, when, and whether a beep follows.

The texts were written for this set: it tells what the rules do, not how often the world
is like it. Some are ones that the rules are known to miss.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from call_service.carriers.port import FRAME_MS
from call_service.voice.detection import Detector, Verdict
from call_service.voice.ports import AnsweredBy

MS_PER_WORD = 330
RECOGNISED_AFTER_MS = 700
BEEP_MS = 400
CALL_MS = 30_000


@dataclass(frozen=True)
class Answerer:
    """`lines` are said with `gap_ms` between them, the first `after_ms` after the answer."""

    kind: AnsweredBy
    lines: tuple[str, ...]
    after_ms: int = 300
    gap_ms: int = 600
    has_beep: bool = False


_PEOPLE = (
    ("Hello?",),
    ("Yes?",),
    ("Anna Miller speaking.",),
    ("Good morning, Bright Dental, this is Tom.",),
    ("Hello, who is this?",),
    ("Hi there.", "Who is calling, please?"),
    ("Hey, sorry, I am just on my way out, what is it about?",),
    ("Miller.",),
    ("Speaking, what can I do for you?",),
    ("Yo.",),
    ("Hi, yeah, I got your voicemail yesterday.",),
    ("Sorry, he can't come to the phone right now.", "Can I help you?"),
    ("Did you leave me a message?",),
    ("Good morning, office of Doctor Lee.", "May I ask the reason for your call?"),
    ("Acme, this is Tom.", "Can you give me your name and tell me why you are calling, please?"),
    ("Hello, she is in a meeting.", "Could you please state your name, and I will let them know you called?"),
)
_VOICEMAILS = (
    ("Hello.", "You have reached the voicemail of Anna Miller.", "Please leave a message after the tone."),
    ("Hi, this is Anna.", "I can't come to the phone right now.", "Leave a message and I will call you back."),
    ("Your call has been forwarded to an automated voice messaging system.",),
    ("You've reached Tom.", "I can't take your call right now.", "I will get back to you as soon as I can."),
    ("The mailbox is full and cannot accept any messages at this time.", "Goodbye."),
    ("Sorry I missed your call.", "Leave me your name and number."),
    ("Hey, it is Mike, you know what to do.",),
    ("At the tone, please record your message.", "When you have finished, you may hang up."),
)
_SCREENERS = (
    (
        "Hello.",
        "The person you are calling is using a call screening service.",
        "Please state your name and the reason.",
    ),
    ("Hi, if you record your name and reason for calling, I will see if this person is available.",),
    ("The person you are trying to reach is using a screening service.", "Go ahead and say your name."),
    ("Hi, this is the assistant of Sarah.", "What is the call about?"),
    ("Please say your name and why you are calling, and I will let them know.",),
)
_MENUS = (
    ("Thank you for calling Acme Energy.", "For sales, press one.", "For support, press two."),
    ("Welcome to the bank.", "Please listen carefully, as our menu options have changed."),
    ("Thanks for calling Luigi's.", "We are open from noon till ten.", "To place an order, stay on the line."),
    ("Your call is important to us.", "All of our agents are currently busy.", "Please stay on the line."),
    ("This call may be recorded for quality.", "In a few words, tell me what you are calling about."),
    ("Para español, marque dos.", "To continue in English, press one now."),
)


def answerers() -> Iterator[Answerer]:
    """The labelled set: each text at several paces; voicemails with and without a beep; some who say nothing."""
    for after_ms, gap_ms in product((200, 600, 1_500), (300, 600, 900)):
        for kind, texts in (("human", _PEOPLE), ("screening", _SCREENERS), ("ivr", _MENUS)):
            yield from (Answerer(kind, lines, after_ms, gap_ms) for lines in texts)  # type: ignore[arg-type] # kinds
        for has_beep in (True, False):
            yield from (Answerer("voicemail", lines, after_ms, gap_ms, has_beep) for lines in _VOICEMAILS)
    yield Answerer("unknown", ())


def detect(call: Answerer, *, understands: bool = True) -> list[tuple[int, Verdict]]:
    """The verdicts with their times in ms; without `understands` as if no words were recognised."""
    detector, verdicts = Detector(), list[tuple[int, Verdict]]()
    speech, words, beep_ms = _timeline(call)
    for now_ms in range(0, CALL_MS, FRAME_MS):
        found = [detector.tick(is_voiced=any(start <= now_ms < end for start, end in speech))]
        if understands:
            found += [detector.words(text) for at_ms, text in words if at_ms == now_ms]
        if call.has_beep and now_ms == beep_ms:
            found.append(detector.machine("beep"))
        verdicts += [(now_ms, verdict) for verdict in found if verdict]
    return verdicts


def _timeline(call: Answerer) -> tuple[list[tuple[int, int]], list[tuple[int, str]], int]:
    at_ms, speech, words = call.after_ms, list[tuple[int, int]](), list[tuple[int, str]]()
    for line in call.lines:
        end_ms = at_ms + MS_PER_WORD * len(line.split())
        speech.append((at_ms, end_ms))
        words.append(((end_ms + RECOGNISED_AFTER_MS) // FRAME_MS * FRAME_MS, line))
        at_ms = end_ms + call.gap_ms
    return speech, words, (at_ms + BEEP_MS) // FRAME_MS * FRAME_MS
