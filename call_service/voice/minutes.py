"""What happens in a call, kept and told to who listens."""

from collections.abc import Callable
from typing import Any

import structlog

from call_service.voice.detection import Verdict
from call_service.voice.options import Outcome, SessionListener, SessionResult, TurnTimings
from call_service.voice.ports import Role, Turn
from call_service.voice.turns import TurnLog

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Minutes:
    """Of one call. What goes wrong in the listener does not end the conversation."""

    def __init__(self, turns: TurnLog, listener: SessionListener, now_ms: Callable[[], int]) -> None:
        self._turns = turns
        self._listener = listener
        self._now_ms = now_ms
        self._data: dict[str, str] = {}

    def said(self, turn: Turn, timings: TurnTimings) -> None:
        """A turn is final."""
        self._turns.add(turn, timings)
        self._tell(self._listener.on_turn, turn, timings)

    def started(self, role: Role) -> None:
        """Somebody began to speak."""
        self._tell(self._listener.on_speech_started, role)

    def collected(self, field: str, value: str) -> None:
        """The brain got a value from the callee."""
        self._data[field] = value
        self._tell(self._listener.on_collected, field, value)

    def detected(self, verdict: Verdict) -> None:
        """It is known who answered, or known better."""
        self._tell(self._listener.on_detected, verdict, self._now_ms())

    def result(self, outcome: Outcome) -> SessionResult:
        """All of it, at the end."""
        return SessionResult(
            outcome.status, outcome.reason, outcome.fault, self._turns.turns, dict(self._data), self._turns.timings
        )

    @staticmethod
    def _tell(tell: Callable[..., None], *what: Any) -> None:
        try:
            tell(*what)
        except Exception:
            log.exception("session_listener_failed")
