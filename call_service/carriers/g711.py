"""G.711 mu-law, and the sample arithmetic that goes with it. All PCM is int16 little-endian mono."""

import warnings

with warnings.catch_warnings():
    # Deprecated on 3.11 and 3.12; from 3.13 on the same module comes as the audioop-lts package.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

SAMPLE_BYTES = 2
FULL_SCALE = 32_768


def encode(pcm: bytes) -> bytes:
    """One mu-law byte a sample (ITU-T G.711)."""
    return audioop.lin2ulaw(pcm, SAMPLE_BYTES)


def decode(mulaw: bytes) -> bytes:
    """Two bytes of PCM for each mu-law byte."""
    return audioop.ulaw2lin(mulaw, SAMPLE_BYTES)


def over_the_wire(pcm: bytes) -> bytes:
    """What the other end hears of `pcm`."""
    return decode(encode(pcm))


def rms(pcm: bytes) -> int:
    """Root mean square of the samples; 0 for no samples."""
    return audioop.rms(pcm, SAMPLE_BYTES)


def scale(pcm: bytes, factor: float) -> bytes:
    """Each sample times `factor`, clipped."""
    return audioop.mul(pcm, SAMPLE_BYTES, factor)


def mix(one: bytes, other: bytes) -> bytes:
    """The clipped sum of two equally long pieces."""
    return audioop.add(one, other, SAMPLE_BYTES)


def encode_alaw(pcm: bytes) -> bytes:
    """One A-law byte a sample (ITU-T G.711)."""
    return audioop.lin2alaw(pcm, SAMPLE_BYTES)


def decode_alaw(alaw: bytes) -> bytes:
    """Two bytes of PCM for each A-law byte."""
    return audioop.alaw2lin(alaw, SAMPLE_BYTES)


def best_fit(pcm: bytes, pattern: bytes) -> int:
    """The sample at which `pattern`, the shorter one, resembles `pcm` most."""
    return audioop.findfit(pcm, pattern)[0]
