"""Media of programs that are not ours: what sipp echoes, and what it plays from its captures."""

import asyncio
import shutil
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import iter_unpack, unpack_from

import pytest

from call_service.carriers.rtp import RtpEngine, RtpSession
from call_service.carriers.ticker import Ticker
from tests.support.rtp import SWEEP_SECONDS, likeness, sweep

LOOPBACK = "127.0.0.1"
MEDIA_PORT = 18_600
CAPTURES = Path("/usr/share/sip-tester")
KEYS = {**{str(n): str(n) for n in range(10)}, "star": "*", "pound": "#"}
PCAP_HEADER, RECORD_HEADER, UDP_HEADERS = 24, 16, 14 + 20 + 8

MakeEngine = Callable[..., RtpEngine]

needs_sipp = pytest.mark.skipif(shutil.which("sipp") is None, reason="sipp is not installed (sip-tester)")


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


async def until(session: RtpSession, condition: Callable[[], bool]) -> None:
    """Wait for `condition`, tick by tick."""
    came_true = asyncio.Event()
    session.on_audio(lambda _frame: came_true.set() if condition() else None)
    await asyncio.wait_for(came_true.wait(), 20)


@contextmanager
def echoing_sipp(directory: Path) -> Iterator[None]:
    """A sipp that sends RTP back to where it came from."""
    command = ["sipp", "-sn", "uas", "-i", LOOPBACK, "-p", str(free_port()), "-mp", str(MEDIA_PORT), "-rtp_echo"]
    process = subprocess.Popen(
        [*command, "-nostdin"], cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


@needs_sipp
async def test_a_sweep_through_the_echo_of_sipp(make_engine: MakeEngine, tmp_path: Path) -> None:
    ticker = Ticker()
    session = make_engine(ticker).allocate()
    heard = bytearray()
    session.on_audio(heard.extend)
    pcm = sweep()
    with echoing_sipp(tmp_path):
        session.start((LOOPBACK, MEDIA_PORT), "PCMU", 0, 101)
        await until(session, lambda: session.stats().packets_received > 0)
        session.play(pcm)
        await asyncio.sleep(SWEEP_SECONDS + 0.5)
        await session.close()
    assert likeness(bytes(heard), pcm) > 0.99
    assert session.stats().refused == 0


def captured(name: str) -> list[bytes]:
    """The RTP packets of a capture that comes with sipp."""
    data = (CAPTURES / name).read_bytes()
    packets = []
    at = PCAP_HEADER
    while at < len(data):
        (length,) = unpack_from("<I", data, at + 8)
        packets.append(data[at + RECORD_HEADER + UDP_HEADERS : at + RECORD_HEADER + length])
        at += RECORD_HEADER + length
    return packets


@needs_sipp
@pytest.mark.parametrize("name", KEYS)
async def test_each_key_of_the_captures_is_told_once(make_engine: MakeEngine, name: str) -> None:
    session = make_engine().allocate()
    pressed: list[str] = []
    session.on_dtmf(pressed.append)
    packets = captured(f"dtmf_2833_{name}.pcap")
    assert len(packets) > 3
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((LOOPBACK, 0))
        session.start(peer.getsockname(), "PCMU", 0, packets[0][1] & 0x7F)
        for packet in packets:
            peer.sendto(packet, (LOOPBACK, session.local_port))
        # The last ones of a capture are repeated.
        await until(session, lambda: session.stats().packets_received >= len(set(packets)))
    assert pressed == [KEYS[name]]


@needs_sipp
async def test_speech_of_a_capture_is_heard_whole(make_engine: MakeEngine) -> None:
    session = make_engine().allocate()
    frames: list[bytes] = []
    session.on_audio(frames.append)
    packets = captured("g711a.pcap")[:250]
    payload = b"".join(packet[12:] for packet in packets)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((LOOPBACK, 0))
        session.start(peer.getsockname(), "PCMA", 8, None)
        waiting = deque(packets)

        def keep_pace(_frame: bytes) -> None:
            while waiting and len(frames) * 20 >= (len(packets) - len(waiting)) * 30:  # its packets are of 30 ms
                peer.sendto(waiting.popleft(), (LOOPBACK, session.local_port))

        session.on_audio(keep_pace)
        await until(session, lambda: len(frames) * 20 > len(packets) * 30 + 200)
    assert session.stats().lost == 0
    assert len(payload) > 200 * 240
    assert likeness(b"".join(frames), _alaw(payload)) > 0.99


def _alaw(payload: bytes) -> bytes:
    """ITU-T G.711 table 1b, written out."""
    return b"".join(_sample(byte ^ 0x55).to_bytes(2, "little", signed=True) for (byte,) in iter_unpack("B", payload))


def _sample(code: int) -> int:
    segment, step = code >> 4 & 7, code & 15
    size = (step << 4) + 8 if segment == 0 else ((step << 4) + 0x108) << (segment - 1)
    return size if code & 0x80 else -size
