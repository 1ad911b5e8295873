"""The real engines over a telephone line: synthesis, G.711, voice activity, recognition."""

import asyncio
import string
from collections.abc import Iterator

import jiwer
import numpy as np
import pytest

from call_service.carriers import g711
from call_service.carriers.port import FRAME_BYTES
from call_service.voice.endpointing import EndpointingOptions
from call_service.voice.engines.bundle import Engines, load_engines
from call_service.voice.listening import Ear, Utterance

SENTENCES = [
    "Hello, I would like to make an appointment.",
    "Does Tuesday at three in the afternoon work for you?",
    "Could you tell me your name and your telephone number, please?",
    "I am sorry, the office is closed on Sunday.",
    "We have a table for four people at half past seven.",
    "Please bring your insurance card and come ten minutes early.",
    "Thank you very much for your help, goodbye.",
    "The doctor will call you back tomorrow morning.",
]


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    loaded = asyncio.run(load_engines())
    yield loaded
    loaded.close()


def over_the_line(pcm: bytes, noise: float, seed: int = 3) -> bytes:
    """G.711 there and back, with noise of `noise` of full scale, in silence before and after."""
    quiet = np.zeros(4800, np.float32)
    samples = np.concatenate([quiet, np.frombuffer(pcm, "<i2") / 32768, quiet, quiet])
    samples += np.random.default_rng(seed).normal(0, noise, len(samples))
    noisy = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    return g711.over_the_wire(noisy)


def words(text: str) -> str:
    return text.lower().replace("-", " ").translate(str.maketrans("", "", string.punctuation))


async def utterances(engines: Engines, pcm: bytes) -> list[Utterance]:
    now = 0
    ear = Ear(engines.recognizer, engines.voice_activity(), EndpointingOptions(), lambda: now)
    found = []
    for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES):
        now = at // 16
        event = ear.hear(pcm[at : at + FRAME_BYTES])
        if isinstance(event, Utterance):
            found.append(event)
    return found


@pytest.mark.parametrize(("noise", "bar"), [(0.0005, 0.08), (0.005, 0.15)])
async def test_what_is_spoken_is_understood(engines: Engines, noise: float, bar: float) -> None:
    heard = []
    for sentence in SENTENCES:
        pcm = await engines.synthesizer.synthesize(sentence, "heart")
        found = await utterances(engines, over_the_line(pcm, noise))
        heard.append(" ".join([await utterance.text for utterance in found]))
    rate = jiwer.wer([words(text) for text in SENTENCES], [words(text) for text in heard])
    assert rate <= bar, heard


async def test_an_utterance_is_timed_as_it_was_spoken(engines: Engines) -> None:
    pcm = await engines.synthesizer.synthesize(SENTENCES[0], "heart")
    (utterance,) = await utterances(engines, over_the_line(pcm, 0.0005))
    await utterance.text
    spoken_ms = len(pcm) // 16 - 160
    assert 600 - 100 <= utterance.start_ms <= 600 + 150
    assert abs(utterance.end_ms - (600 + spoken_ms)) <= 150


@pytest.mark.parametrize("level", [0.001, 0.01, 0.05])
async def test_noise_is_no_speech(engines: Engines, level: float) -> None:
    assert await utterances(engines, over_the_line(bytes(16 * 4000), level)) == []


async def test_edges_of_synthesis_are_tight_and_repeats_are_cached(engines: Engines) -> None:
    pcm = await engines.synthesizer.synthesize("Hello there.", "heart")
    samples = np.abs(np.frombuffer(pcm, "<i2").astype(np.int32))
    assert np.argmax(samples > 160) <= 8 * 60
    assert await engines.synthesizer.synthesize("Hello there.", "heart") is pcm


async def test_voices_differ_and_an_unknown_one_still_speaks(engines: Engines) -> None:
    text = "This is a sentence to compare."
    calm, brisk, unknown = [
        len(await engines.synthesizer.synthesize(text, voice)) for voice in ("heart-calm", "heart-brisk", "nobody")
    ]
    assert calm > unknown > brisk


async def test_concurrent_recognitions_do_not_mix(engines: Engines) -> None:
    pcms = [await engines.synthesizer.synthesize(sentence, "heart") for sentence in SENTENCES[:4]]
    alone = [await engines.recognizer.recognize(pcm) for pcm in pcms]
    assert await asyncio.gather(*(engines.recognizer.recognize(pcm) for pcm in pcms)) == alone


async def test_next_to_nothing_is_recognised_as_nothing(engines: Engines) -> None:
    for pcm in (b"", bytes(2), bytes(320), bytes(16000)):
        assert await engines.recognizer.recognize(pcm) == ""
