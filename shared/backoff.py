"""How long to wait before the next try."""

import random


def backoff_seconds(failures: int, *, base: float = 0.5, cap: float = 30.0, jitter: float | None = None) -> float:
    """Exponential back-off: between half of and the whole `base · 2^failures`, at most `cap` seconds.

    `jitter` in [0, 1) places it in that range and is random by default. Half stays fixed, because full jitter
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/) may retry at once.
    """
    ceiling = min(cap, base * 2.0 ** min(failures, 32))
    return ceiling * (0.5 + 0.5 * (random.random() if jitter is None else jitter))  # noqa: S311 - spreads load only
