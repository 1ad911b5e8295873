"""The line from a callee to the agent: as it is spoken, or with noise and losses that repeat with their seed."""

from itertools import cycle
from random import Random

import pytest

from call_service.carriers import g711
from call_service.carriers.port import FRAME_BYTES, SILENCE_FRAME
from call_service.carriers.simulated.line import Line
from call_service.carriers.simulated.sound import Noise, tone

FRAMES = 5_000
VOICE = [tone(250, 1_000)[at : at + FRAME_BYTES] for at in range(0, 16_000, FRAME_BYTES)]


def carried(percent: float, seed: int = 3) -> list[tuple[bytes, bytes]]:
    """What was spoken and what arrived."""
    line = Line(Random(seed))
    line.packet_loss_percent = percent
    return [(frame, line.carry(frame)) for frame, _ in zip(cycle(VOICE), range(FRAMES), strict=False)]


def test_a_line_is_clean_unless_it_is_told_otherwise() -> None:
    assert all(spoken == arrived for spoken, arrived in carried(0))


@pytest.mark.parametrize("percent", [1, 5])
def test_so_many_packets_are_lost(percent: int) -> None:
    changed = sum(spoken != arrived for spoken, arrived in carried(percent))
    # The frame after a loss is blended with what was made up, so that up to two differ for each.
    assert FRAMES * percent / 100 * 0.8 <= changed <= FRAMES * percent / 100 * 2.4


def test_what_is_lost_is_made_up_and_not_silent() -> None:
    """Single losses of a voice are concealed by its last periods, as the RTP receiver does it."""
    assert all(arrived != SILENCE_FRAME for _, arrived in carried(1))


def test_long_losses_fade_to_silence() -> None:
    line = Line(Random(3))
    line.carry(VOICE[0])
    line.packet_loss_percent = 100
    line.carry(VOICE[1])
    levels = [g711.rms(line.carry(VOICE[2])) for _ in range(6)]
    assert levels[-1] == 0
    assert levels == sorted(levels, reverse=True)


def test_losses_repeat_with_their_seed() -> None:
    assert carried(5) == carried(5)
    assert carried(5) != carried(5, seed=4)


def test_noise_is_lost_with_the_voice() -> None:
    line = Line(Random(3))
    line.noise = Noise(Random(3)).frames(20)
    quiet = [g711.rms(line.carry(SILENCE_FRAME)) for _ in range(50)]
    assert min(quiet) > 0
    line.packet_loss_percent = 100
    assert g711.rms([line.carry(SILENCE_FRAME) for _ in range(50)][-1]) == 0
