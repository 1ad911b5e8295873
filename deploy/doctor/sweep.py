"""The proof that audio arrived: a sweep is sent, what comes back is correlated with it."""

import numpy as np
from numpy.typing import NDArray

RATE = 8_000
WINDOW = RATE // 5

Samples = NDArray[np.float64]


def sweep(seconds: float, low: float = 300.0, high: float = 3_000.0) -> bytes:
    """A sine from `low` to `high` Hz, int16 mono 8 kHz: every moment of it sounds different."""
    time = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * (low * time + (high - low) * time**2 / (2 * seconds))
    samples: NDArray[np.int16] = (8_000 * np.sin(phase)).astype(np.int16)
    return samples.tobytes()


def correlation(sent: bytes, heard: bytes) -> float:
    """How like `sent` what was heard is, 1 for unchanged: the median over windows of 200 ms, each at its best delay.

    By windows, because a jitter buffer on a busy machine moves what it plays by milliseconds.
    """
    wanted = np.frombuffer(sent, np.int16).astype(np.float64)
    found = np.frombuffer(heard, np.int16).astype(np.float64)
    if len(found) < WINDOW:
        return 0.0
    squares = np.concatenate(([0.0], np.cumsum(found**2)))
    energies = np.sqrt(np.maximum(squares[WINDOW:] - squares[:-WINDOW], 1.0))
    windows = (wanted[at : at + WINDOW] for at in range(0, len(wanted) - WINDOW + 1, WINDOW))
    return float(np.median([_best(window, found, energies) for window in windows]))


def _best(window: Samples, found: Samples, energies: Samples) -> float:
    size = 1 << int(np.ceil(np.log2(len(found) + WINDOW)))
    products = np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(window, size)), size)
    return float(np.max(products[: len(energies)] / energies) / np.linalg.norm(window))
