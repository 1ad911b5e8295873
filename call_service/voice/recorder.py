"""Call recording: a stereo WAV, 8 kHz, 16 bit, the callee left and the agent right, aligned frame by frame.

Frames are gathered into chunks of a second and more, written in a thread, one at a time. The header is right after each
chunk, so the `.part` file of a killed process is a playable recording.
"""

import asyncio
import struct
from array import array
from pathlib import Path
from typing import BinaryIO

import structlog

from call_service.carriers.port import FRAME_BYTES, SAMPLE_RATE

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

CHUNK_FRAMES = 50
MAX_SKEW_FRAMES = 50
MAX_WAITING_FRAMES = 1500
HEADER_BYTES = 44
PART = ".part"


def wav_header(data_bytes: int) -> bytes:
    """RIFF header of a stereo PCM16 file at 8 kHz with `data_bytes` of samples."""
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, SAMPLE_RATE, SAMPLE_RATE * 4, 4, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + data_bytes, b"WAVE") + fmt + struct.pack("<4sI", b"data", data_bytes)


def interleave(left: bytes, right: bytes) -> bytes:
    """Two mono PCM16 tracks of one length as one stereo track."""
    stereo = array("h", bytes(len(left) * 2))
    stereo[0::2] = array("h", left)
    stereo[1::2] = array("h", right)
    return stereo.tobytes()


class _WavFile:
    """Runs in the writer thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("wb")
        self._file.write(wav_header(0))
        self._bytes = 0

    def write(self, left: bytes, right: bytes) -> None:
        stereo = interleave(left, right)
        self._file.write(stereo)
        self._bytes += len(stereo)
        self._file.seek(0)
        self._file.write(wav_header(self._bytes))
        self._file.seek(0, 2)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class Recorder:
    """Records one call. `callee` and `agent` are called on the event loop with 20 ms frames and never block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tracks = (bytearray(), bytearray())
        self._file: _WavFile | None = None
        self._writing: asyncio.Future[None] | None = None
        self._error: BaseException | None = None

    def callee(self, frame: bytes) -> None:
        """A frame that came from the callee."""
        self._add(0, frame)

    def agent(self, frame: bytes) -> None:
        """A frame that went out to the callee."""
        self._add(1, frame)

    async def finish(self) -> Path | None:
        """Write what is left and give the file its name. None when the recording failed: a call goes on without."""
        if self._writing:
            await asyncio.wait([self._writing])
        self._pad(max(len(track) for track in self._tracks))
        try:
            await asyncio.to_thread(self._complete, *self._take())
        except OSError as error:
            self._error = self._error or error
        if self._error:
            log.warning("recording_failed", error=repr(self._error))
        return None if self._error else self._path

    def _add(self, side: int, frame: bytes) -> None:
        if self._error:
            return
        self._tracks[side].extend(frame)
        ahead = len(self._tracks[side]) // FRAME_BYTES
        if ahead > MAX_WAITING_FRAMES:
            self._error = OSError("the disk is too slow")
        elif ahead > MAX_SKEW_FRAMES + CHUNK_FRAMES:
            self._pad((ahead - MAX_SKEW_FRAMES) * FRAME_BYTES)  # the other side sends nothing
        if not self._writing and min(len(track) for track in self._tracks) >= CHUNK_FRAMES * FRAME_BYTES:
            self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, *self._take())
            self._writing.add_done_callback(self._written)

    def _pad(self, size: int) -> None:
        for track in self._tracks:
            track.extend(bytes(max(0, size - len(track))))

    def _take(self) -> tuple[bytes, bytes]:
        size = min(len(track) for track in self._tracks)
        left, right = (bytes(track[:size]) for track in self._tracks)
        for track in self._tracks:
            del track[:size]
        return left, right

    def _written(self, future: asyncio.Future[None]) -> None:
        self._writing = None
        self._error = self._error or future.exception()

    def _write(self, left: bytes, right: bytes) -> None:
        if self._file is None:
            self._file = _WavFile(self._part)
        self._file.write(left, right)

    def _complete(self, left: bytes, right: bytes) -> None:
        if self._error is None:
            self._write(left, right)
        if self._file is not None:
            self._file.close()
        if self._error is None:
            self._part.replace(self._path)
        else:
            self._part.unlink(missing_ok=True)

    @property
    def _part(self) -> Path:
        return self._path.with_name(self._path.name + PART)
