"""Several processes on one port: this one opens the sockets, forks, and keeps as many children as were asked for.

Each child has a listening socket of its own, among which the kernel spreads connections (SO_REUSEPORT). They are this
process's, so that what waits in one outlives the child: its successor answers it. A successor starts the moment a child
stops accepting, whether it drains or has died, which shows at the end of a pipe between the two.
"""

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from shared.backoff import backoff_seconds
from shared.http import BACKLOG

log = structlog.get_logger(__name__)

_STEADY_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 10.0
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Place:
    """What a child is given: its socket, a pipe to close when it stops accepting, one that ends with its parent."""

    listener: socket.socket
    accepting: int
    parent: int


@dataclass(slots=True)
class _Slot:
    listener: socket.socket
    started_at: float = 0.0
    quick_ends: int = 0
    due_at: float | None = 0.0


class Supervisor:
    """Runs `serve(place)` in `count` children until SIGTERM. Has no threads and no event loop, so that it may fork."""

    def __init__(self, host: str, port: int, count: int, serve: Callable[[Place], None]) -> None:
        self._serve = serve
        self._slots = [_Slot(listener) for listener in _listeners(host, port, count)]
        self._life = os.pipe()
        self._children: set[int] = set()
        self._is_stopping = False
        self._selector = selectors.DefaultSelector()
        self._signals: list[int] = []

    def run(self) -> None:
        """Returns when all children have ended after a SIGTERM or SIGINT."""
        with self._woken_by_signals():
            while self._children or not self._is_stopping:
                self._start_due()
                for key, _ in self._selector.select(self._pause()):
                    if isinstance(key.data, _Slot):
                        self._stopped_accepting(key.fd, key.data)
                    else:
                        os.read(key.fd, 4096)
                self._forward_signals()
                self._reap()

    def _start_due(self) -> None:
        for slot in self._slots:
            if not self._is_stopping and slot.due_at is not None and slot.due_at <= time.monotonic():
                self._start(slot)

    def _pause(self) -> float | None:
        due = [slot.due_at for slot in self._slots if slot.due_at is not None]
        return max(0.0, min(due) - time.monotonic()) if due and not self._is_stopping else None

    def _start(self, slot: _Slot) -> None:
        ours, theirs = os.pipe()
        # A signal between the fork and the child's own handlers would be lost on our list.
        signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
        pid = os.fork()
        if not pid:
            self._be_child(slot, ours, theirs)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
        os.close(theirs)
        self._children.add(pid)
        self._selector.register(ours, selectors.EVENT_READ, slot)
        slot.started_at, slot.due_at = time.monotonic(), None
        log.info("process_started", pid=pid)

    def _be_child(self, slot: _Slot, ours: int, theirs: int) -> None:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
            for descriptor in [key.fd for key in self._selector.get_map().values()]:
                os.close(descriptor)
            self._selector.close()
            os.close(ours)
            os.close(self._life[1])
            for other in self._slots:
                if other is not slot:
                    other.listener.close()
            self._serve(Place(slot.listener, theirs, self._life[0]))
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        finally:
            os._exit(status)

    def _stopped_accepting(self, descriptor: int, slot: _Slot) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
        now = time.monotonic()
        slot.quick_ends = slot.quick_ends + 1 if now - slot.started_at < _STEADY_SECONDS else 0
        # The first time at once: somebody waits in the socket.
        pause = backoff_seconds(slot.quick_ends, base=0.1, cap=_LONGEST_PAUSE_SECONDS) if slot.quick_ends > 1 else 0.0
        slot.due_at = now + pause

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._children.discard(pid)
            code = os.waitstatus_to_exitcode(status)
            (log.info if code == 0 else log.error)("process_ended", pid=pid, status=code)

    def _forward_signals(self) -> None:
        numbers, self._signals = self._signals, []
        for number in numbers:
            if number != signal.SIGHUP and not self._is_stopping:
                self._is_stopping = True
                for slot in self._slots:
                    slot.listener.close()
            for pid in self._children:
                os.kill(pid, number)

    @contextmanager
    def _woken_by_signals(self) -> Iterator[None]:
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        self._selector.register(near, selectors.EVENT_READ)
        signal.set_wakeup_fd(far.fileno(), warn_on_full_buffer=False)
        for number in _FORWARDED:
            signal.signal(number, lambda number, _frame: self._signals.append(number))
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        yield
        signal.set_wakeup_fd(-1)
        self._selector.close()
        near.close()
        far.close()


def _listeners(host: str, port: int, count: int) -> Iterator[socket.socket]:
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    for _ in range(count):
        listener = socket.create_server((str(address[0]), port), family=family, backlog=BACKLOG, reuse_port=True)
        port = listener.getsockname()[1]
        yield listener
