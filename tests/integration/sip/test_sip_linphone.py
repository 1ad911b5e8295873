"""Linphone's console phone calls us, plays a recording and records what we say."""

import asyncio
import wave
from pathlib import Path

from call_service.carriers.port import Answered, Cause, Ended
from tests.integration.sip.conftest import Call, MakePhone, trunk
from tests.support.sip_peers import LOOPBACK, free_media_port, free_port, listens, running
from tests.support.sweep import correlation, sweep

TEMPLATE = Path(__file__).parent / "peers" / "linphonerc"


async def test_linphone_calls_us(make_phone: MakePhone, tmp_path: Path) -> None:
    port = free_port()
    gaps = {"address": LOOPBACK, "udp": str(port), "media": str(free_media_port())}
    text = TEMPLATE.read_text()
    for gap, word in gaps.items():
        text = text.replace(f"{{{{{gap}}}}}", word)
    (tmp_path / "linphonerc").write_text(text)
    with wave.open(str(tmp_path / "says.wav"), "wb") as file:
        file.setparams((1, 2, 8_000, 0, "NONE", ""))
        file.writeframes(bytes(16_000) + sweep(2.0) + bytes(16_000))
    (tmp_path / ".local" / "share" / "linphone").mkdir(parents=True)
    phone = await make_phone(trunk(port))
    command = ["linphonec", "-c", str(tmp_path / "linphonerc")]
    async with running(command, tmp_path / "linphone.log", tmp_path) as peer:
        await listens(port, peer)  # the prompt comes before the socket
        peer.say("soundcard use files")
        peer.say(f"call sip:+12025559999@{LOOPBACK}:{phone.address[1]}")
        call = Call((await phone.invited()).answer())
        await call.sees(Answered())
        peer.say(f"record {tmp_path / 'hears.wav'}")
        peer.say(f"play {tmp_path / 'says.wav'}")
        await asyncio.sleep(0.5)
        call.leg.play(sweep(2.0))
        await asyncio.sleep(4)
        peer.say("terminate")
        assert await call.ends() == Ended(Cause.CALLEE_HUNG_UP)
        peer.say("quit")
        await peer.ends()
    likeness = correlation(sweep(2.0), bytes(call.heard))
    assert likeness > 0.99, call.leg.media.stats()
    with wave.open(str(tmp_path / "hears.wav"), "rb") as file:
        assert (file.getnchannels(), file.getframerate()) == (1, 8_000)
        recorded = file.readframes(file.getnframes())
    likeness = correlation(sweep(2.0), recorded)
    assert likeness > 0.99
