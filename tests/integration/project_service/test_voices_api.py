"""`/voices/*`: the catalogue, and previews that really play."""

import asyncio
import io
import os
import sys
import wave
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cachetools import TTLCache

from project_service.voices.errors import PreviewUnavailableError
from project_service.voices.service import Voices
from shared import tokens
from shared.clock import SystemClock
from shared.fair_places import FairPlaces
from shared.tokens import InternalTokens


async def test_the_catalogue_lists_voices_with_labels(user: Any) -> None:
    status, answer = await user("GET", "/voices")
    assert (status, answer["message"]) == (200, "successfully fetched voice list.")
    assert [voice["voice_id"] for voice in answer["voices"]] == ["heart", "heart-calm", "heart-brisk"]
    for voice in answer["voices"]:
        assert set(voice) == {"name", "labels", "voice_id", "preview_url", "provider", "language"}
        assert set(voice["labels"]) == {"accent", "description", "age", "gender", "use_case"}
        assert voice["preview_url"] == f"https://talkstack.example/voices/{voice['voice_id']}/preview.wav"


async def test_one_voice_is_fetched_and_an_unknown_one_is_not(user: Any) -> None:
    status, answer = await user("GET", "/voices/heart")
    assert (status, answer["voice"]["name"], answer["message"]) == (200, "Heart", "successfully fetched voice data.")
    status, answer = await user("GET", "/voices/nobody")
    assert (status, answer["code"]) == (404, "voice_not_found")


async def test_a_preview_plays_without_credentials(user: Any) -> None:
    headers = {
        tokens.HEADER: InternalTokens("an internal token secret of 32 bytes", "gateway", SystemClock().now).sign(None)
    }

    async def fetch(**extra: str) -> tuple[int, bytes]:
        async with user.client.get("/voices/heart/preview.wav", headers={**headers, **extra}) as answer:
            assert answer.content_type == "audio/wav"
            return answer.status, await answer.read()

    (status, sound), (_, again) = await asyncio.gather(fetch(), fetch())
    assert status == 200
    assert sound == again
    with wave.open(io.BytesIO(sound)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24000, 1, 2)
        seconds = file.getnframes() / 24000
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    assert 2 < seconds < 8
    assert np.sqrt(np.mean(samples**2)) > 500, "it is not silence"
    assert await fetch(Range="bytes=0-3") == (206, b"RIFF")


async def test_an_unknown_voice_has_no_preview(user: Any) -> None:
    assert (await user("GET", "/voices/..%2Fheart/preview.wav"))[0] == 404
    assert (await user("GET", "/voices/nobody/preview.wav"))[1]["code"] == "voice_not_found"


@pytest.mark.parametrize("script", ["raise SystemExit('no engine')", "import time; time.sleep(60)"])
async def test_a_preview_that_fails_or_hangs_is_unavailable_and_leaves_nothing(tmp_path: Path, script: str) -> None:
    voices = Voices("https://x", tmp_path, (sys.executable, "-c", script), timedelta(seconds=1))
    with pytest.raises(PreviewUnavailableError):
        await voices.preview("heart")
    assert not await asyncio.to_thread(os.listdir, tmp_path)


async def test_a_preview_is_rendered_once_for_all_who_ask_and_a_failure_is_kept_until_its_retry_after(
    tmp_path: Path,
) -> None:
    """Each request of anybody started a process."""
    now, started = [0.0], tmp_path / "started"
    script = f"open({str(started)!r}, 'a').write('x'); raise SystemExit('no engine')"
    failed = TTLCache[str, None](10, 30, timer=lambda: now[0])
    voices = Voices("https://x", tmp_path / "previews", (sys.executable, "-c", script), failed=failed)

    async def starts() -> int:
        asked = await asyncio.gather(*(voices.preview("heart") for _ in range(5)), return_exceptions=True)
        assert {type(answer) for answer in asked} == {PreviewUnavailableError}
        return len(await asyncio.to_thread(started.read_text))

    assert [await starts(), await starts()] == [1, 1]
    now[0] = 31
    assert await starts() == 2


async def test_a_preview_that_exists_waits_for_no_other_and_few_wait_for_one_that_does_not(tmp_path: Path) -> None:
    (tmp_path / "heart.wav").write_bytes(b"sound")
    begun, wait = tmp_path / "begun", tmp_path / "wait"
    os.mkfifo(begun)
    os.mkfifo(wait)
    script = f"import sys; open({str(begun)!r}, 'w').close(); open({str(wait)!r}).close(); open(sys.argv[2], 'w')"
    places = FairPlaces(1, waiting=2, of_one=2, patience_seconds=30)
    voices = Voices("https://x", tmp_path, (sys.executable, "-c", script), places=places)
    asking = [asyncio.create_task(voices.preview("heart-calm")) for _ in range(4)]
    await asyncio.to_thread(lambda: begun.open().close())
    assert await voices.preview("heart") == tmp_path / "heart.wav"
    done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    assert [type(task.exception()) for task in done] == [PreviewUnavailableError]
    await asyncio.to_thread(lambda: wait.open("w").close())
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert answers.count(tmp_path / "heart-calm.wav") == 3
