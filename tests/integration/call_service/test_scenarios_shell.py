"""`python -m call_service.scenarios run`: real engines, no server; a table, a report and an exit status."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

AGENT = {
    "name": "Maya",
    "systemInstruction": "You are Maya, the front desk of Bright Dental. A check-up costs 80 dollars.",
    "firstMessage": "Hello, this is Bright Dental. How can I help you?",
}
ASKS = {
    "name": "asks the price",
    "direction": "inbound",
    "callee": {
        "description": "Wants to know what a check-up costs, on a line that loses packets.",
        "turns": [
            {"wait_for": "help you", "say": "How much is a check-up, please?"},
            {
                "wait_for": "80|eighty",
                "say": "Thank you, goodbye.",
                "silence_ms": 4000,
                "hang_up": True,
            },
        ],
    },
    "line": {"noise_db": 30, "packet_loss_percent": 0.5},
    "expect": {"says": ["80 dollars"], "hears": ["how much"], "status": "completed", "max_word_error_rate": 0.5},
}
BUSY = {
    "name": "is busy",
    "callee": {"description": "Is busy.", "outcome": "busy"},
    "expect": {"status": "completed"},
}


async def shell(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "call_service.scenarios",
        "run",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(100):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode()


def suite(path: Path, *scenarios: dict[str, Any], **more: Any) -> str:
    path.write_text(json.dumps({"scenarios": scenarios, **more}))
    return str(path)


async def test_a_caller_is_understood_and_answered(tmp_path: Path) -> None:
    """The callee understands too: it goes on only once it has heard the price."""
    report = tmp_path / "report.json"
    status, output = await shell(suite(tmp_path / "suite.json", ASKS, agent=AGENT), "--json", str(report))
    assert (status, "1 of 1 scenarios passed." in output) == (0, True), output
    whole = json.loads(report.read_text())
    assert whole["summary"]["passed"] == 1
    (found,) = whole["scenarios"]
    assert found["line"] == "30 dB, 0.5 % loss"
    assert found["said"] == ["How much is a check-up, please?", "Thank you, goodbye."]
    assert found["voice_to_voice_ms"]
    assert found["words"] > 0


async def test_one_that_failed_is_in_the_exit_status_and_the_table(tmp_path: Path) -> None:
    agent = tmp_path / "agent.json"
    agent.write_text(json.dumps(AGENT))
    path = suite(tmp_path / "suite.json", ASKS, BUSY)
    status, output = await shell(path, "--agent", str(agent), "--only", "busy")
    assert status == 1
    assert "0 of 1 scenarios passed." in output
    assert "callee_busy" in output


@pytest.mark.parametrize(
    ("more", "arguments", "message"),
    [
        ({"agent": {**AGENT, "voice_id": "nobody"}}, (), "agent.voice_id"),
        ({"lines": [{"noise_db": 90}], "agent": AGENT}, (), "lines.0.noise_db"),
        ({}, (), "name one with --agent"),
        ({"agent": AGENT}, ("--only", "nothing"), "no scenario has 'nothing' in its name"),
        ({"agent": {**AGENT, "providers": {"stt": {"provider": "deepgram"}}}}, (), "agent.providers"),
    ],
)
async def test_what_can_not_be_played_is_named(
    tmp_path: Path, more: dict[str, Any], arguments: tuple[str, ...], message: str
) -> None:
    status, output = await shell(suite(tmp_path / "suite.json", BUSY, **more), *arguments)
    assert status == 1
    assert message in " ".join(output.split()), output
