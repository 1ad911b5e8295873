"""A call that a real Pipecat bot holds, in a process of its own: the one that docs/providers.md shows."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from call_service.carriers.port import FRAME_MS, DtmfReceived
from deploy.local.system import ROOT
from project_service.provider_keys.trying import KeyTrier
from shared.db import Database
from tests.integration.vendors.test_bots import held_by
from tests.integration.vendors.test_speech_to_speech import noise
from tests.support.fake_vendors import KEY
from tests.support.pipecat import INSTALL_SECONDS, NoPipecatError, pipecat_python
from tests.support.sip_peers import until

START_SECONDS = 60
STOP_SECONDS = 10
_LISTENS = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")


def bot_of_the_docs() -> str:
    """The first block of Python in its section."""
    section = (ROOT / "docs" / "providers.md").read_text().split("## A Pipecat bot holds the conversation\n")[1]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code
    return code[1]


@asynccontextmanager
async def running_bot(python: Path, folder: Path) -> AsyncIterator[tuple[str, Path]]:
    """Its URL, and what it has printed."""
    (folder / "bot.py").write_text(bot_of_the_docs())
    log = folder / "bot.log"
    command = (str(python), "-m", "uvicorn", "bot:app", "--host", "127.0.0.1", "--port", "0", "--no-use-colors")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, stdout=output, stderr=output, env={**os.environ, "BOT_KEY": KEY}
        )
    try:
        await until(lambda: _LISTENS.search(log.read_text()) or process.returncode is not None, START_SECONDS)
        found = _LISTENS.search(log.read_text())
        assert found, log.read_text()
        yield found[1].replace("http://", "ws://") + "/ws", log
    finally:
        if process.returncode is None:
            process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.timeout(INSTALL_SECONDS + 120)
async def test_the_bot_of_the_docs_holds_a_call(db: Database, tmp_path: Path) -> None:
    try:
        python = await pipecat_python()
    except NoPipecatError as error:
        pytest.skip(f"Pipecat can't be installed: {error}")
    async with running_bot(python, tmp_path) as (url, log):
        assert await _tried(url, KEY) == ("works", 101)
        assert await _tried(url, "another") == await _tried(f"{url}/elsewhere", KEY) == ("refused", 403)
        before = len(log.read_text())
        async with held_by(url, db, tmp_path, persona="Maya") as live:
            frames: list[bytes] = []
            live.leg.on_played_frame(frames.append)
            await until(lambda: _loud(frames) >= 600, 20)  # the beep
            said = noise(1_000)
            live.leg.say(said)
            await until(lambda: _loud(frames) >= 1_550, 20)  # and what it has heard
            async with asyncio.timeout(20):
                while len(await live.turns()) < 3:  # noqa: ASYNC110 - another task writes
                    await asyncio.sleep(0.05)
            live.leg.emit(DtmfReceived("#"))
            call = await live.ended()
        told = log.read_text()[before:]
    assert (call.status, call.reason, call.fault) == ("completed", "agent_hung_up", "none")
    assert _loud(frames) == pytest.approx(600 + 1_000 + 400, abs=100)
    assert {turn.role for turn in await live.turns()} == {"agent", "user"}
    assert f"call {call.id} to {call.to_number}" in told
    assert "'persona': 'Maya'" in told
    assert await live.degraded() == []
    assert "Traceback" not in told


async def _tried(url: str, key: str) -> tuple[str, int | None]:
    trier = KeyTrier(allow_private=True)
    try:
        answer = await trier.try_key("pipecat", key, url, is_customers_url=True)
    finally:
        await trier.close()
    return answer.result, answer.http_status


def _loud(frames: list[bytes]) -> int:
    """Milliseconds of sound."""
    return sum(map(any, frames)) * FRAME_MS
