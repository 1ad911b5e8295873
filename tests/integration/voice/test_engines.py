"""What the engines promise beside quality: one model for all calls, no work that nobody waits for, no deaf ear."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from call_service.carriers.g711 import over_the_wire
from call_service.carriers.port import FRAME_BYTES, FRAME_MS, SAMPLE_RATE
from call_service.voice.engines.hibari import HibariSynthesizer
from call_service.voice.engines.moonshine import MAX_BATCH, MoonshineRecognizer
from call_service.voice.engines.moonshine_model import MODEL_HZ, MoonshineModel
from call_service.voice.engines.pcm import Floats, to_float
from call_service.voice.engines.silero import SileroActivity, SileroModel
from call_service.voice.ports import EngineError

SENTENCES = ("The doctor will call you back tomorrow morning.", "We have a table for four people.")
BYTES_A_SECOND = 2 * SAMPLE_RATE
SILENCE_S = 3


@pytest.fixture(scope="module")
def synthesizer() -> Iterator[HibariSynthesizer]:
    engine = HibariSynthesizer()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def model() -> MoonshineModel:
    return MoonshineModel()


async def samples(synthesizer: HibariSynthesizer, text: str) -> Floats:
    return to_float(over_the_wire(await synthesizer.synthesize(text, "heart")), SAMPLE_RATE, MODEL_HZ)


async def test_utterances_that_are_recognised_together_are_each_understood(
    synthesizer: HibariSynthesizer, model: MoonshineModel
) -> None:
    spoken = [await samples(synthesizer, text) for text in SENTENCES]
    nothing = np.zeros(10, np.float32)
    assert model.texts([spoken[0], nothing, spoken[1], spoken[0]]) == [*SENTENCES[:1], "", *SENTENCES[1:], SENTENCES[0]]


async def test_recognition_stops_once_nobody_wants_it(synthesizer: HibariSynthesizer, model: MoonshineModel) -> None:
    spoken = [await samples(synthesizer, text) for text in SENTENCES]
    asked = [0, 0]

    def is_wanted(place: int) -> bool:
        asked[place] += 1
        return place == 1 or asked[0] < 4

    assert model.texts(spoken, is_wanted) == ["", SENTENCES[1]]
    assert asked[0] < asked[1]


async def test_what_waits_is_recognised_together_and_what_was_dropped_is_not(
    synthesizer: HibariSynthesizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pcms = [over_the_wire(await synthesizer.synthesize(text, "heart")) for text in SENTENCES]
    batches, recognise = list[int](), MoonshineModel.texts
    monkeypatch.setattr(
        MoonshineModel,
        "texts",
        lambda self, sounds, *wanted: batches.append(len(sounds)) or recognise(self, sounds, *wanted),
    )
    recognizer = MoonshineRecognizer()
    try:
        asked = [asyncio.create_task(recognizer.recognize(pcm)) for pcm in (pcms[0], *pcms, *pcms * 8)]
        await asyncio.sleep(0)
        assert recognizer.is_busy
        asked[1].cancel()
        heard = await asyncio.gather(*asked, return_exceptions=True)
        assert heard[:1] + heard[2:] == [SENTENCES[0], SENTENCES[1], *SENTENCES * 8]
        assert max(batches) == MAX_BATCH
        assert len(batches) <= 4
        assert not recognizer.is_busy
    finally:
        recognizer.close()


def test_what_is_too_short_for_a_word_is_nothing(model: MoonshineModel) -> None:
    assert model.texts([np.ones(size, np.float32) for size in (0, 1, MODEL_HZ // 10 - 1)]) == ["", "", ""]


async def test_silence_and_noise_are_no_words() -> None:
    recognizer = MoonshineRecognizer()
    hiss = np.random.default_rng(1).normal(0, 300, 2 * SAMPLE_RATE).astype("<i2").tobytes()
    try:
        assert [await recognizer.recognize(pcm) for pcm in (bytes(BYTES_A_SECOND), hiss, b"")] == ["", "", ""]
    finally:
        recognizer.close()


async def test_a_sentence_that_several_calls_want_is_made_once(
    synthesizer: HibariSynthesizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, say = [], synthesizer._synthesize
    monkeypatch.setattr(synthesizer, "_synthesize", lambda text, voice: made.append(text) or say(text, voice))
    wanted = [asyncio.create_task(synthesizer.synthesize("Only once, please.", "heart")) for _ in range(5)]
    await asyncio.sleep(0)
    wanted[0].cancel()
    spoken = await asyncio.gather(*wanted[1:])
    assert made == ["Only once, please."]
    assert len(set(spoken)) == 1
    assert await synthesizer.synthesize("Only once, please.", "heart") == spoken[0]
    assert made == ["Only once, please."]


async def test_a_sentence_that_cannot_be_made_fails_for_all_who_want_it(synthesizer: HibariSynthesizer) -> None:
    found = await asyncio.gather(*(synthesizer.synthesize("*", "heart") for _ in range(2)), return_exceptions=True)
    assert all(isinstance(error, EngineError) for error in found)
    with pytest.raises(EngineError):
        await synthesizer.synthesize("*", "heart")


@pytest.mark.parametrize("noise", [0.0003, 0.001, 0.003])
async def test_what_is_said_after_a_silence_is_heard_at_once(synthesizer: HibariSynthesizer, noise: float) -> None:
    """Asked about the silence as well, the model needs 260 ms and more for some of these, and misses "Ten."."""
    random, activity, late_ms = np.random.default_rng(5), SileroActivity(SileroModel()), {}
    for text in ("I would like to make an appointment.", "Ten.", "Thursday is better.", "Stop it!", "Yes."):
        word = np.frombuffer(await synthesizer.synthesize(text, "heart"), "<i2") / 32768
        line = np.concatenate([np.zeros(SILENCE_S * SAMPLE_RATE), word, np.zeros(SAMPLE_RATE)])
        line += random.normal(0, noise, len(line))
        pcm = over_the_wire((line * 32767).astype("<i2").tobytes())
        voiced = [activity.feed(pcm[at : at + FRAME_BYTES]) >= 0.5 for at in range(0, len(pcm), FRAME_BYTES)]
        began = SILENCE_S * 1000 // FRAME_MS
        late_ms[text] = FRAME_MS * voiced[began:].index(True) if any(voiced[began:]) else None
        assert not any(voiced[:began])
    assert all(ms is not None and ms <= 160 for ms in late_ms.values()), late_ms
