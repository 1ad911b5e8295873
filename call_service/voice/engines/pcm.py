"""PCM16 bytes to float samples and back, at the rates the engines want."""

import numpy as np
import soxr

Floats = np.ndarray[tuple[int], np.dtype[np.float32]]


def to_float(pcm: bytes, from_hz: int, to_hz: int) -> Floats:
    """PCM16 to float32 [n] in -1..1, resampled offline at soxr's HQ."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    return np.ascontiguousarray(soxr.resample(samples, from_hz, to_hz), np.float32)


def to_pcm(samples: Floats, from_hz: int, to_hz: int) -> bytes:
    """float32 [n] in -1..1 to PCM16, resampled offline at soxr's HQ and clipped."""
    resampled: Floats = soxr.resample(samples, from_hz, to_hz)
    return (np.clip(resampled, -1.0, 1.0) * 32767).astype("<i2").tobytes()


def trim_silence(samples: Floats, hz: int, *, lead_in_ms: int, threshold: float = 0.005) -> Floats:
    """Cut quiet edges, but for `lead_in_ms` at the start; all quiet gives an empty array."""
    loud = np.flatnonzero(np.abs(samples) > threshold)
    if not len(loud):
        return samples[:0]
    start = max(0, int(loud[0]) - lead_in_ms * hz // 1000)
    return samples[start : int(loud[-1]) + 1]
