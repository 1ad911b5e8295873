"""The events of one leg: in order, complete for whoever listens late, nothing after the end."""

from collections.abc import Callable

from call_service.carriers.port import Ended, LegEvent


class EventLog:
    """Keeps what happened and tells each listener all of it once."""

    def __init__(self) -> None:
        self._happened: list[LegEvent] = []
        self._listeners: list[Callable[[LegEvent], None]] = []

    @property
    def has_ended(self) -> bool:
        """Whether the last event was `Ended`."""
        return bool(self._happened) and isinstance(self._happened[-1], Ended)

    def listen(self, listener: Callable[[LegEvent], None]) -> None:
        """Tell `listener` what happened so far, then what happens."""
        for event in tuple(self._happened):
            listener(event)
        self._listeners.append(listener)

    def emit(self, event: LegEvent) -> None:
        """Record and tell; ignored after the end."""
        if self.has_ended:
            return
        self._happened.append(event)
        for listener in tuple(self._listeners):
            listener(event)
