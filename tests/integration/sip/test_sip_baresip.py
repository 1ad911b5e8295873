"""A softphone, both ways: audio, keys, encryption, hold, transfer."""

import asyncio
from pathlib import Path

import pytest

from call_service.carriers.port import Answered, Cause, DtmfReceived, Ended
from call_service.carriers.sip import Listener, server_context
from tests.integration.sip.conftest import Call, MakePhone, Phone, trunk
from tests.support.baresip import Baresip, baresip
from tests.support.sip_peers import LOOPBACK, until
from tests.support.sweep import correlation, sweep

US, THEM = "+12025559999", "+12025550100"
LISTENERS = (Listener("UDP", LOOPBACK, 0), Listener("TCP", LOOPBACK, 0), Listener("TLS", LOOPBACK, 0))
WAYS = [("udp", "", "off"), ("tcp", "", "off"), ("tls", "srtp-mand", "required"), ("udp", "srtp", "optional")]


async def _phone(make: MakePhone, folder: Path, peer: Baresip, transport: str, srtp: str) -> Phone:
    options: dict[str, object] = {"transport": transport, "srtp": srtp, "ca_file": str(folder / "ca.pem")}
    tls = server_context(str(folder / "server.pem"), str(folder / "server.key"))
    port = peer.port + (transport == "tls")
    return await make(trunk(port, **options), listeners=LISTENERS, server_tls=tls)


async def _prove_audio(call: Call) -> None:
    await asyncio.sleep(0.5)
    call.leg.play(sweep(2.0))
    await asyncio.sleep(3.5)
    likeness = correlation(sweep(2.0), bytes(call.heard))
    assert likeness > 0.99, call.leg.media.stats()


@pytest.mark.parametrize(("transport", "encryption", "srtp"), WAYS)
async def test_we_call_the_softphone(
    make_phone: MakePhone, tmp_path: Path, transport: str, encryption: str, srtp: str
) -> None:
    async with baresip(tmp_path, THEM, transport, encryption) as peer:
        phone = await _phone(make_phone, tmp_path, peer, transport, srtp)
        call = await phone.dial_answered(THEM)
        await _prove_audio(call)
        await call.leg.send_dtmf("19#")
        await until(lambda: peer.keys() == "19#")
        peer.tell("sndcode", "5")
        peer.tell("sndcode", "\x04")
        await call.sees(DtmfReceived("5"))
        peer.tell("hangup")
        assert await call.ends() == Ended(Cause.CALLEE_HUNG_UP)
    agreed = call.leg.negotiator.agreed
    assert agreed
    assert (agreed.keys is not None) == (srtp != "off")


@pytest.mark.parametrize(("transport", "encryption", "srtp"), WAYS)
async def test_the_softphone_calls_us(
    make_phone: MakePhone, tmp_path: Path, transport: str, encryption: str, srtp: str
) -> None:
    async with baresip(tmp_path, THEM, transport, encryption) as peer:
        phone = await _phone(make_phone, tmp_path, peer, transport, srtp)
        address = phone.carrier.address(transport.upper())
        assert address
        peer.tell("dial", f"sip:{US}@{address[0]}:{address[1]};transport={transport}")
        invite = await phone.invited()
        assert (invite.from_, invite.to) == (THEM, US)
        invite.ring()
        await peer.sees("CALL_RINGING")
        call = Call(invite.answer())
        await call.sees(Answered())
        await _prove_audio(call)
        await call.leg.hang_up()
        await peer.sees("CALL_CLOSED")


async def test_required_encryption_refuses_plain_audio(make_phone: MakePhone, tmp_path: Path) -> None:
    async with baresip(tmp_path, THEM, "tls") as peer:
        phone = await _phone(make_phone, tmp_path, peer, "tls", "required")
        call = await phone.dial(THEM)
        ended = await call.ends()
        assert ended.cause == Cause.CARRIER_REJECTED
        assert Answered() not in call.events


async def test_the_softphone_is_put_on_hold_and_pressed_long_keys(make_phone: MakePhone, tmp_path: Path) -> None:
    async with baresip(tmp_path, THEM, "udp") as peer:
        phone = await _phone(make_phone, tmp_path, peer, "udp", "off")
        call = await phone.dial_answered(THEM)
        assert await call.leg.hold(held=True)
        assert call.leg.negotiator.is_holding
        assert await call.leg.hold(held=False)
        await call.leg.send_dtmf("42#", 300)
        await until(lambda: peer.keys() == "42#")
        await call.leg.hang_up()
        await peer.sees("CALL_CLOSED")


async def test_the_softphone_puts_us_on_hold(make_phone: MakePhone, tmp_path: Path) -> None:
    async with baresip(tmp_path, THEM, "udp") as peer:
        phone = await _phone(make_phone, tmp_path, peer, "udp", "off")
        call = await phone.dial_answered(THEM)
        peer.tell("hold")
        await until(lambda: call.leg.negotiator.is_held_by_peer)
        peer.tell("resume")
        await until(lambda: not call.leg.negotiator.is_held_by_peer)
        await call.leg.hang_up()
        await peer.sees("CALL_CLOSED")
