"""Moonshine tiny-en (arXiv:2410.15608) on onnxruntime: float32 16 kHz in, text out, on one core.

The weights are those inside moonshine-voice 0.1.0 (MIT), the last version whose wheel holds them. Its own library takes
154 ms of CPU time for an utterance of 2 s, because it spreads it over all cores with threads that spin; this takes 39,
and 22 where eight are recognised together.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from call_service.voice.engines.pcm import Floats

MODEL_HZ = 16_000
# Two convolutions and their strides need 66 ms; what is shorter than this is no word.
MIN_SAMPLES = MODEL_HZ // 10
# The authors' limit: a model that repeats itself is stopped.
TOKENS_A_SECOND = 6.5
BEGIN, END = 1, 2
HEADS, HEAD_SIZE = 8, 36
WORD_BOUNDARY = "\u2581"


class MoonshineModel:
    """Thread-safe. Loading takes about a quarter of a second.

    Raises:
        ImportError, OSError: the package or its model is missing.
    """

    def __init__(self) -> None:
        folder = weights()
        self._vocabulary = tuple(_vocabulary((folder / "tokenizer.bin").read_bytes()))
        self._encoder = _session(folder / "encoder_model.ort")
        self._decoder = _session(folder / "decoder_model_merged.ort")
        outputs = [output.name for output in self._decoder.get_outputs()]
        self._all_states = outputs[1:]
        # The keys and values of what was heard stay as they are after the first step.
        self._own_states = [name for name in self._all_states if ".decoder." in name]

    def texts(self, sounds: Sequence[Floats], is_wanted: Callable[[int], bool] = lambda _place: True) -> list[str]:
        """What was said in each of `sounds`, [n] in -1..1; empty for less than 100 ms and what nobody wants any more.

        A step of decoding reads all the weights, for one utterance or for eight: eight together take 2.5 times less
        than one after the other. Each is quantised with its neighbours, which now and then moves a comma.
        """
        pieces = [b""] * len(sounds)
        places = [place for place, sound in enumerate(sounds) if len(sound) >= MIN_SAMPLES and is_wanted(place)]
        for tokens in self._steps([sounds[place] for place in places], lambda row: is_wanted(places[row])):
            for place, token in zip(places, tokens, strict=True):
                pieces[place] += self._vocabulary[token] if token != END else b""
        texts = [piece.decode(errors="ignore").replace(WORD_BOUNDARY, " ").strip() for piece in pieces]
        return [text if is_wanted(place) else "" for place, text in enumerate(texts)]

    def _steps(self, sounds: Sequence[Floats], is_wanted: Callable[[int], bool]) -> Iterator[list[int]]:
        """Greedy decoding, a token of each a step; `END` for those that are over."""
        limits = [int(len(sound) / MODEL_HZ * TOKENS_A_SECOND) + 1 for sound in sounds]
        given = self._heard(sounds)
        tokens, states, step = [BEGIN] * len(sounds), self._all_states, 0
        while any(token != END for token in tokens):
            given["input_ids"] = np.array([[token] for token in tokens], np.int64)
            logits, *values = self._decoder.run(["logits", *states], given)
            best = logits[:, -1].argmax(-1).tolist()
            tokens = [
                token if before != END and step < limit and is_wanted(row) else END
                for row, (token, before, limit) in enumerate(zip(best, tokens, limits, strict=True))
            ]
            yield tokens
            given |= {_past(name): value for name, value in zip(states, values, strict=True)}
            given["use_cache_branch"] = np.array([True])
            states, step = self._own_states, step + 1

    def _heard(self, sounds: Sequence[Floats]) -> dict[str, np.ndarray[Any, Any]]:
        """What the decoder gets of each, as long as the longest; encoding them together would be no faster."""
        encoded = [
            self._encoder.run(None, {"input_values": sound[None], "attention_mask": np.ones((1, len(sound)), np.int64)})
            for sound in sounds
        ]
        mask = np.zeros((len(sounds), max(map(len, sounds), default=0)), np.int64)
        heard = np.zeros((len(sounds), max((one.shape[1] for (one,) in encoded), default=0), HEADS * HEAD_SIZE), "f4")
        for row, (sound, (one,)) in enumerate(zip(sounds, encoded, strict=True)):
            mask[row, : len(sound)] = 1
            heard[row, : one.shape[1]] = one[0]
        nothing = np.zeros((len(sounds), HEADS, 0, HEAD_SIZE), np.float32)
        given = {"encoder_attention_mask": mask, "encoder_hidden_states": heard, "use_cache_branch": np.array([False])}
        return given | {_past(name): nothing for name in self._all_states}


def _past(present: str) -> str:
    return present.replace("present", "past_key_values")


def weights() -> Path:
    """The folder of the model. Found without importing the package, which would load 60 MB of libraries."""
    package = find_spec("moonshine_voice")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("moonshine_voice is not installed", name="moonshine_voice")
    return Path(package.origin).parent / "assets" / "tiny-en"


def _session(path: Path) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise FileNotFoundError(f"moonshine-voice 0.1.0 with {path.name}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep what the longest batch took, 60 MB, and saves no time
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _vocabulary(packed: bytes) -> Iterator[bytes]:
    """Each token is its length, in one byte or (from 128 on) two, and its UTF-8."""
    at = 0
    while at < len(packed):
        size = packed[at]
        at += 1
        if size >= 128:
            size += 128 * (packed[at] - 1)
            at += 1
        yield packed[at : at + size]
        at += size
