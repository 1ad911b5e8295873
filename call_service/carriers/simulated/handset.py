"""What a callee holds in its hand: an ear, a mouth, and time that passes with the leg's ticks."""

import asyncio
from collections.abc import Callable

from call_service.carriers.playout import PlayQueue
from call_service.carriers.port import FRAME_MS
from call_service.carriers.simulated.ear import Ear
from call_service.carriers.simulated.line import Line


class Handset:
    """Moved on by `exchange`; everything that waits, waits for ticks and not for a clock of its own."""

    def __init__(self, line: Line) -> None:
        self.ear = Ear()
        self.line = line
        self.recorded = bytearray()
        self._mouth = PlayQueue()
        self.now_ms = 0  # since the answer
        self._is_recording = False
        self._awaited: tuple[Callable[[], bool], asyncio.Future[None]] | None = None

    def exchange(self, heard: bytes) -> bytes:
        """One tick: 20 ms of the agent's audio in, 20 ms of the callee's out."""
        self.now_ms += FRAME_MS
        self.ear.feed(heard)
        if self._is_recording:
            self.recorded += heard
        spoken = self._mouth.take()
        self._wake()
        return self.line.carry(spoken)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the first tick after which `condition` holds. One waiter at a time: the callee is one person."""
        if not condition():
            future = asyncio.get_running_loop().create_future()
            self._awaited = (condition, future)
            await future

    def stopwatch(self) -> Callable[[], int]:
        """Starts now; tells the milliseconds that passed."""
        start = self.now_ms
        return lambda: self.now_ms - start

    async def wait(self, ms: int) -> None:
        """Let `ms` pass."""
        passed = self.stopwatch()
        await self.until(lambda: passed() >= ms)

    async def play(self, pcm: bytes) -> None:
        """Speak, and return when it was said; what the agent said meanwhile and did not go on with is not heard."""
        if pcm:
            self._mouth.put(pcm)
            await self.until(lambda: not self._mouth.queued_ms)
            self.ear.forget()

    async def record(self, ms: int) -> None:
        """Keep what the agent says for `ms`."""
        self._is_recording = True
        await self.wait(ms)
        self._is_recording = False

    def _wake(self) -> None:
        if self._awaited and self._awaited[0]():
            future = self._awaited[1]
            self._awaited = None
            if not future.done():
                future.set_result(None)
