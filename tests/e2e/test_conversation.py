"""A call from sign-up to webhook, spoken both ways, through the public API of the whole stack."""

import io
import wave

import aiohttp
import jiwer
import numpy as np
import pytest

from call_service.voice.engines.bundle import load_engines
from deploy.demo.receiver import Receiver
from deploy.local.stack import Stack
from tests.support.customers import new_customer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

PUBLIC_TYPES = [
    "call.queued",
    "call.initiated",
    "call.ringing",
    "call.answered",
    "call.ended",
    "call.transcript.ready",
    "call.recording.ready",
    "call.analyzed",
    "call.completed",
]
LIVE_TYPES = {"call.turn", "call.detected"}
# The recogniser's own error on telephone speech is 1.4-4.9 %; the second hearing cuts sentences at other places.
MOST_WORD_ERRORS = 0.15
PAUSE_SECONDS = 0.6


async def test_a_whole_call(stack: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(stack, session)
    async with Receiver().running() as receiver:
        await customer.add_webhook(receiver)
        call_id = await customer.call("+12025550100")
        await customer.follow(call_id)
        assert await receiver.wait_for("call.completed", call_id, 15)

        events = customer.seen[call_id]
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
        assert [event["type"] for event in events if event["type"] not in LIVE_TYPES] == PUBLIC_TYPES
        assert [item["type"] for item in receiver.verified] == PUBLIC_TYPES
        assert receiver.forged == 0

    call = await customer.api.ask("GET", f"/call/{call_id}")
    assert (call["status"], call["fault"]) == ("completed", "none")
    assert call["reason"] in {"agent_hung_up", "callee_hung_up"}
    assert call["data"]["name"] == "Anna Miller"
    assert call["data"]["day"] == "Thursday"
    assert call["data"]["confirmed"] == "yes"
    assert call["seconds"] > 10
    live = [event["data"] for event in events if event["type"] == "call.turn"]
    assert [(turn["role"], turn["text"]) for turn in live] == [
        (turn["role"], turn["text"]) for turn in call["transcript"]
    ]

    answer = await customer.api.ask(
        "POST",
        "/call/analysis",
        {
            "sid": call_id,
            "questions": [
                {"question": "What is the caller's name?", "type": "Text"},
                {"question": "What is the name of the caller's dog?", "type": "Text"},
            ],
        },
    )
    name, dog = answer["analysis"]["answers"]
    assert name["answer"] == "Anna Miller"
    assert dog["answer"] is None
    assert dog["reason"]

    recording = await customer.api.download(f"/call/{call_id}/recording")
    for role, channel in (("user", 0), ("agent", 1)):
        said = " ".join(turn["text"] for turn in call["transcript"] if turn["role"] == role)
        assert await word_errors(said, recording, channel) <= MOST_WORD_ERRORS, role


async def word_errors(said: str, recording: bytes, channel: int) -> float:
    """The word error rate between the transcript of one side and its channel of the recording, recognised anew."""
    engines = await load_engines()
    try:
        heard = " ".join([await engines.recognizer.recognize(part) for part in utterances(recording, channel)])
    finally:
        engines.close()
    plain = jiwer.Compose(
        [
            jiwer.ToLowerCase(),
            jiwer.SubstituteRegexes({r"[^a-z0-9 ]": " "}),
            jiwer.RemoveMultipleSpaces(),
            jiwer.Strip(),
        ]
    )
    return float(jiwer.wer(plain(said), plain(heard)))


def utterances(recording: bytes, channel: int) -> list[bytes]:
    """One channel cut where it is quiet for 0.6 s, by level alone: nothing of the voice loop is used."""
    with wave.open(io.BytesIO(recording)) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 8000)
        track = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)[:, channel]
    frames = track[: len(track) // 160 * 160].reshape(-1, 160)
    loud = np.flatnonzero(np.sqrt((frames.astype(np.float64) ** 2).mean(axis=1)) > 150)
    assert loud.size, "the channel is silent"
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > PAUSE_SECONDS * 50) + 1)
    return [frames[max(0, part[0] - 10) : part[-1] + 11].tobytes() for part in parts]
