"""The same agent as `our_agent`, as one would write it with Pipecat, run by an interpreter that has it.

Its settings are those of our session and favour it otherwise: no logging, no tracking of turns, no RTVI, no silence
behind what is recognised, and all its calls are in one process. Recognition and synthesis are our engines; with
`library` as the last argument the same model is run by its own library, as Pipecat's Moonshine service does.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import orjson
import uvloop
from loguru import logger
from moonshine_voice import ModelArch, Transcriber
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.settings import STTSettings, TTSSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

from call_service.carriers.port import SAMPLE_RATE
from call_service.voice.engines.bundle import Engines, load_engines
from call_service.voice.engines.moonshine_model import MODEL_HZ, weights
from call_service.voice.engines.pcm import to_float
from call_service.voice.engines.thread import EngineThread
from call_service.voice.memory_leg import MemoryLeg
from tests.bench.callers import ANSWER, OPENING, measure, voices

# As ours: a turn ends after 300 ms of silence, recognition begins after about 200, a voice of 120 ms interrupts.
VAD = VADParams(confidence=0.5, start_secs=0.12, stop_secs=0.2, min_volume=0.0)
TURN_ENDS_AFTER_S = 0.1
AHEAD_MS = 60


class Ears(BaseInputTransport):
    """What the caller says."""

    def __init__(self, leg: MemoryLeg, params: TransportParams) -> None:
        super().__init__(params)
        self._leg = leg

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._leg.on_audio(self._heard)

    def _heard(self, frame: bytes) -> None:
        if self._audio_task:
            self._audio_in_queue.put_nowait(InputAudioRawFrame(frame, SAMPLE_RATE, 1))


class Mouth(BaseOutputTransport):
    """What the caller hears, a little ahead of it."""

    def __init__(self, leg: MemoryLeg, params: TransportParams) -> None:
        super().__init__(params)
        self._leg = leg

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self._leg.clear()

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        self._leg.play(frame.audio)
        await asyncio.sleep(max(0, self._leg.queued_ms - AHEAD_MS) / 1000)
        return True


class Recognition(SegmentedSTTService):
    """Our recogniser."""

    wants_wav_segments = False

    def __init__(self, engines: Engines) -> None:
        settings = STTSettings(model=None, language=None)
        super().__init__(trailing_silence_secs=0, ttfs_p99_latency=0.2, settings=settings)
        self._engines = engines

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        text = await self._engines.recognizer.recognize(audio)
        if text:
            yield TranscriptionFrame(text, "", time_now_iso8601())


class LibraryRecognizer:
    """Moonshine's own library, one utterance at a time: it garbles those that come at once."""

    is_busy = False

    def __init__(self) -> None:
        self._transcriber = Transcriber(str(weights()), ModelArch.TINY)
        self._thread = EngineThread("stt", max_waiting=64, time_out=timedelta(seconds=8))

    async def recognize(self, pcm: bytes) -> str:
        return await self._thread.run(lambda: self._recognize(pcm))

    def _recognize(self, pcm: bytes) -> str:
        samples = to_float(pcm, SAMPLE_RATE, MODEL_HZ).tolist()
        transcript = self._transcriber.transcribe_without_streaming(samples, MODEL_HZ)
        return " ".join(line.text for line in transcript.lines).strip()


class Brain(FrameProcessor):
    """Answers everything at once with the same two sentences."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        for sentence in ANSWER:
            await self.push_frame(LLMTextFrame(sentence + " "))
        await self.push_frame(LLMFullResponseEndFrame())


class Synthesis(TTSService):
    """Our synthesiser, with its cache."""

    def __init__(self, engines: Engines) -> None:
        settings = TTSSettings(model=None, voice="heart", language=None)
        super().__init__(push_start_frame=True, push_stop_frames=True, settings=settings)
        self._engines = engines

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        pcm = await self._engines.synthesizer.synthesize(text.strip(), "heart")
        yield TTSAudioRawFrame(pcm, self.sample_rate, 1, context_id=context_id)


async def converse(engines: Engines, leg: MemoryLeg) -> None:
    """One call, until its leg ends."""
    params = TransportParams(audio_in_enabled=True, audio_out_enabled=True)
    strategies = UserTurnStrategies(
        start=[VADUserTurnStartStrategy()],
        stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=TURN_ENDS_AFTER_S)],
    )
    user = LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer(params=VAD), user_turn_strategies=strategies)
    context = LLMContextAggregatorPair(LLMContext(), user_params=user)
    steps = [
        Ears(leg, params),
        Recognition(engines),
        context.user(),
        Brain(),
        Synthesis(engines),
        Mouth(leg, params),
        context.assistant(),
    ]
    rates = PipelineParams(audio_in_sample_rate=SAMPLE_RATE, audio_out_sample_rate=SAMPLE_RATE)
    options: dict[str, Any] = {"enable_rtvi": False, "enable_turn_tracking": False, "idle_timeout_secs": None}
    worker = PipelineWorker(Pipeline(steps), params=rates, **options)
    ended = asyncio.Event()
    leg.on_event(lambda _event: ended.set())
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    await worker.queue_frame(TTSSpeakFrame(OPENING))
    await ended.wait()
    await worker.cancel()
    await running


async def _main(calls: int, seconds: float, recognition: str) -> None:
    logger.remove()
    engines = await load_engines()
    if recognition == "library":
        engines = replace(engines, recognizer=LibraryRecognizer())
    sentences = await voices(engines.synthesizer)
    found = await measure(lambda leg: converse(engines, leg), sentences, calls, seconds)
    engines.close()
    print(orjson.dumps(asdict(found)).decode())


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))
