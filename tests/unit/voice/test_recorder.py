"""Recordings: aligned, bounded, whole after a crash."""

import asyncio
import wave
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from call_service.carriers.port import FRAME_SAMPLES
from call_service.recordings import RecordingStore
from call_service.voice import recorder as module
from call_service.voice.recorder import Recorder


def frame(value: int) -> bytes:
    return array("h", [value] * FRAME_SAMPLES).tobytes()


def read(path: Path | None) -> tuple[list[int], list[int]]:
    """The first sample of each frame, left and right."""
    assert path
    with wave.open(str(path)) as recording:
        assert (recording.getnchannels(), recording.getframerate(), recording.getsampwidth()) == (2, 8000, 2)
        samples = array("h", recording.readframes(recording.getnframes()))
    return list(samples[0 :: 2 * FRAME_SAMPLES]), list(samples[1 :: 2 * FRAME_SAMPLES])


def names(directory: Path) -> list[str]:
    return [entry.name for entry in directory.iterdir()]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 # a file has no event
            await asyncio.sleep(0.005)


async def test_the_sides_are_aligned_frame_by_frame(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "calls" / "a.wav")
    for number in range(1, 131):
        recorder.callee(frame(number))
        recorder.agent(frame(-number))
    path = await recorder.finish()
    assert path == tmp_path / "calls" / "a.wav"
    assert read(path) == (list(range(1, 131)), list(range(-1, -131, -1)))
    assert names(tmp_path / "calls") == ["a.wav"]


async def test_a_side_that_sends_nothing_becomes_silence(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.wav")
    for number in range(1, 401):
        recorder.agent(frame(number))
    left, right = read(await recorder.finish())
    assert left == [0] * 400
    assert right == list(range(1, 401))


async def test_an_empty_recording_is_a_file(tmp_path: Path) -> None:
    assert read(await Recorder(tmp_path / "a.wav").finish()) == ([], [])


async def test_what_a_killed_process_leaves_is_a_recording(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.wav")
    part = tmp_path / "a.wav.part"
    for number in range(1, 61):
        recorder.callee(frame(number))
        recorder.agent(frame(number))
    await until(lambda: part.exists() and part.stat().st_size > 1000)
    assert read(part)[0] == list(range(1, 51))
    assert RecordingStore(tmp_path).finished("a") == "a.wav"
    assert not part.exists()
    assert recorder._file
    recorder._file.close()


async def test_a_recording_that_cannot_be_written_fails_quietly(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    recorder = Recorder(tmp_path / "file" / "a.wav")
    for number in range(200):
        recorder.callee(frame(number))
        recorder.agent(frame(number))
        await asyncio.sleep(0)
    assert await recorder.finish() is None


async def test_a_stalled_disk_bounds_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_FRAMES", 100)
    recorder = Recorder(tmp_path / "a.wav")
    recorder._writing = asyncio.get_running_loop().create_future()
    for number in range(1000):
        recorder.callee(frame(0))
        recorder.agent(frame(number))
    assert max(len(track) for track in recorder._tracks) <= 101 * 320
    recorder._writing.set_result(None)
    assert await recorder.finish() is None
    assert names(tmp_path) == []
