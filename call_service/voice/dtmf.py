"""Gathers pressed keys into one input: `4`, `2`, `#` become "42#"."""

from datetime import timedelta

from call_service.carriers.port import FRAME_MS

MAX_KEYS = 64


class KeyCollector:
    """An input is complete at `#`, or when no key followed for `pause`."""

    def __init__(self, pause: timedelta) -> None:
        self._pause_ms = pause.total_seconds() * 1000
        self._keys = ""
        self._quiet_ms = 0

    @property
    def pending(self) -> bool:
        """Is an input being typed?"""
        return bool(self._keys)

    def press(self, key: str) -> str | None:
        """Take a key; returns the input it completes."""
        self._keys += key
        self._quiet_ms = 0
        return self._take() if key == "#" or len(self._keys) >= MAX_KEYS else None

    def tick(self) -> str | None:
        """20 ms passed; returns the input that is complete by waiting."""
        self._quiet_ms += FRAME_MS
        return self._take() if self._keys and self._quiet_ms >= self._pause_ms else None

    def _take(self) -> str:
        keys, self._keys = self._keys, ""
        return keys
