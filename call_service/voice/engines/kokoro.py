"""Synthesis by Kokoro-82M (Apache-2.0) from the operator's own files: more voices, at a tenth of hibari's speed.

The model is any ONNX export of it; voices are float32 vectors [510, 1, 256], one for each length of a sentence, as
`NAME.bin` in a folder or as one `.npz`. Phonemes are those of hibari, whose alphabet is Kokoro's: English.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import hibari
import numpy as np
import onnxruntime
from cachetools import LRUCache

from call_service.carriers.port import SAMPLE_RATE
from call_service.voice.engines.hibari import CACHE_BYTES, LEAD_IN_MS, LEAD_OUT_MS
from call_service.voice.engines.pcm import Floats, to_pcm, trim_silence
from call_service.voice.engines.spoken import spoken
from call_service.voice.engines.thread import EngineThread
from call_service.voice.ports import EngineError
from call_service.voice.synthesis import InOnePiece

MODEL_HZ = 24_000
MAX_PHONEMES = 509
STYLE = 256
THREADS = 2


class KokoroSynthesizer(InOnePiece):
    """A `Synthesizer` whose `voice_id` is the name of a voice. Construct it off the event loop.

    Raises:
        OSError, ValueError: the files are not there, or are not those of Kokoro.
    """

    def __init__(self, model: Path, voices: Path, *, time_out: timedelta = timedelta(seconds=8)) -> None:
        self._voices = _load_voices(voices)
        self._session = _session(model)
        self._inputs = {one.name: one.type for one in self._session.get_inputs()}
        if not ({"tokens", "input_ids"} & self._inputs.keys() and {"style", "speed"} <= self._inputs.keys()):
            raise ValueError(f"{model} is no Kokoro model: its inputs are {', '.join(self._inputs)}")
        self._phonemes = {british: _Phonemes(british=british) for british in (False, True)}
        self._cache: LRUCache[tuple[str, str], bytes] = LRUCache(CACHE_BYTES, getsizeof=len)
        self._thread = EngineThread("tts", max_waiting=64, time_out=time_out)

    @property
    def voices(self) -> list[str]:
        """Their names; the first letter is the accent, the second the sex: `bm_george`."""
        return sorted(self._voices)

    async def synthesize(self, text: str, voice_id: str) -> bytes:
        """PCM16 8 kHz of one sentence, with tight edges.

        Raises:
            EngineError: stage `tts`; there is no such voice, or nothing to speak.
        """
        if voice_id not in self._voices:
            raise EngineError("tts", f"there is no voice {voice_id}; there are {', '.join(self.voices)}")
        key = (voice_id, text)
        if (pcm := self._cache.get(key)) is None:
            pcm = await self._thread.run(lambda: self._synthesize(text, voice_id))
            if len(pcm) <= CACHE_BYTES:
                self._cache[key] = pcm
        return pcm

    def _synthesize(self, text: str, voice_id: str) -> bytes:
        parts = [
            self._infer(ids, self._voices[voice_id]) for ids in self._phonemes[voice_id[0] == "b"].ids(spoken(text))
        ]
        samples = trim_silence(np.concatenate(parts), MODEL_HZ, lead_in_ms=LEAD_IN_MS) if parts else np.empty(0, "f4")
        if not len(samples):
            raise EngineError("tts", "the text holds nothing that can be spoken")
        return to_pcm(samples, MODEL_HZ, SAMPLE_RATE) + bytes(2 * SAMPLE_RATE * LEAD_OUT_MS // 1000)

    def _infer(self, ids: list[int], voice: Floats) -> Floats:
        tokens = "tokens" if "tokens" in self._inputs else "input_ids"
        speed = np.int32 if self._inputs["speed"] == "tensor(int32)" else np.float32
        given = {
            tokens: np.array([ids], np.int64),
            "style": voice[min(len(ids) - 2, len(voice) - 1)].reshape(1, STYLE),
            "speed": np.ones(1, speed),
        }
        audio: Floats = self._session.run(None, given)[0].reshape(-1)
        return audio

    def close(self) -> None:
        """Stop the thread."""
        self._thread.close()


class _Phonemes:
    def __init__(self, *, british: bool) -> None:
        self._hibari = hibari.Hibari(g2p=hibari.g2p.G2P(british=british))

    def ids(self, text: str) -> list[list[int]]:
        """One list for each sentence, with the zeros that the model wants around it."""
        return [self._hibari.ids(phonemes[:MAX_PHONEMES]) for phonemes in self._hibari.phonemize(text)]


def _session(model: Path) -> onnxruntime.InferenceSession:
    if not model.is_file():
        raise FileNotFoundError(f"there is no file {model}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the package's errors have no base but RuntimeError, and not all that one
        raise ValueError(f"{model} cannot be loaded: {error}") from error


def _load_voices(path: Path) -> dict[str, Floats]:
    if path.is_dir():
        raw: dict[str, Any] = {file.stem: np.fromfile(file, "<f4") for file in sorted(path.glob("*.bin"))}
    elif path.is_file():
        with np.load(path, allow_pickle=False) as archive:
            raw = {name: archive[name].astype(np.float32).reshape(-1) for name in archive.files}
    else:
        raise FileNotFoundError(f"there is no folder or file {path}")
    wrong = [name for name, vectors in raw.items() if not len(vectors) or len(vectors) % STYLE]
    if wrong or not raw:
        raise ValueError(f"{path} has no voices of Kokoro{': ' + ', '.join(wrong) if wrong else ''}")
    return {name: vectors.reshape(-1, 1, STYLE) for name, vectors in raw.items()}
