"""Moonshine tiny-en (arXiv:2410.15608) on onnxruntime: float32 16 kHz in, text out, on one core.

The weights are those inside moonshine-voice 0.1.0 (MIT), the last version whose wheel holds them. Its own library takes
154 ms of CPU time for an utterance of 2 s, because it spreads it over all cores with threads that spin; this takes 39.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

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

    def text(self, samples: Floats, is_wanted: Callable[[], bool] = lambda: True) -> str:
        """What was said in `samples`, [n] in -1..1; empty for less than 100 ms, and once it is not wanted any more."""
        if len(samples) < MIN_SAMPLES:
            return ""
        tokens = []
        for token in self._tokens(samples[np.newaxis]):
            if not is_wanted():
                return ""
            tokens.append(token)
        pieces = b"".join(self._vocabulary[token] for token in tokens)
        return pieces.decode(errors="ignore").replace(WORD_BOUNDARY, " ").strip()

    def _tokens(self, samples: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> Iterator[int]:
        """Greedy decoding, a token a step."""
        mask = np.ones(samples.shape, np.int64)
        (heard,) = self._encoder.run(None, {"input_values": samples, "attention_mask": mask})
        nothing = np.zeros((1, HEADS, 0, HEAD_SIZE), np.float32)
        given = {"encoder_attention_mask": mask, "encoder_hidden_states": heard, "use_cache_branch": np.array([False])}
        given |= {_past(name): nothing for name in self._all_states}
        token, states = BEGIN, self._all_states
        for _ in range(int(samples.shape[1] / MODEL_HZ * TOKENS_A_SECOND) + 1):
            given["input_ids"] = np.array([[token]], np.int64)
            logits, *values = self._decoder.run(["logits", *states], given)
            token = int(logits[0, -1].argmax())
            if token == END:
                return
            yield token
            given |= {_past(name): value for name, value in zip(states, values, strict=True)}
            given["use_cache_branch"] = np.array([True])
            states = self._own_states


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
