"""Calls we get, from sipp."""

import asyncio
from pathlib import Path

import pytest

from call_service.carriers import g711
from call_service.carriers.port import Answered, Cause, Ended
from tests.integration.sip.conftest import Call, MakePhone, trunk
from tests.support.sip_peers import LOOPBACK, Sipp, dropping, free_port, relay
from tests.support.sweep import correlation, sweep

SERVICE = ("-s", "+12025559999")


async def test_a_caller_is_answered_heard_and_hung_up_on(make_phone: MakePhone, sipp: Sipp, tmp_path: Path) -> None:
    (tmp_path / "caller.ulaw").write_bytes(g711.encode(sweep(2.0)))
    port = free_port()
    phone = await make_phone(trunk(port))
    async with sipp.run("uac_play", port, *SERVICE, remote=phone.address):
        invite = await phone.invited()
        assert (invite.trunk, invite.from_, invite.to) == ("peer", "+12025550199", "+12025559999")
        call = Call(invite.answer())
        await call.sees(Answered())
        await asyncio.sleep(3)
        await call.leg.hang_up()
    likeness = correlation(sweep(2.0), bytes(call.heard))
    assert likeness > 0.99


async def test_the_caller_may_hang_up_after_hearing_us(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    async with sipp.run("uac_talk", port, *SERVICE, "-rtp_echo", "-d", "2500", remote=phone.address):
        invite = await phone.invited()
        invite.ring()
        call = Call(invite.answer())
        call.leg.play(sweep(1.5))
        assert await call.ends() == Ended(Cause.CALLEE_HUNG_UP)
    likeness = correlation(sweep(1.5), bytes(call.heard))
    assert likeness > 0.99


@pytest.mark.parametrize("status", [486, 603])
async def test_a_call_can_be_refused(make_phone: MakePhone, sipp: Sipp, status: int) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    async with sipp.run(f"uac_refused_{status}", port, *SERVICE, remote=phone.address):
        (await phone.invited()).reject(status)


async def test_the_caller_may_give_up_while_it_rings(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    gave_up = asyncio.Event()
    async with sipp.run("uac_cancel", port, *SERVICE, remote=phone.address):
        invite = await phone.invited()
        invite.on_cancel(gave_up.set)
        invite.ring()
        async with asyncio.timeout(5):
            await gave_up.wait()
    assert not invite.is_open


async def test_a_doubled_invite_is_one_call(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port, source_networks=["127.0.0.0/8"]))
    doubling = lambda data: 2 if data.startswith(b"INVITE") else 1  # noqa: E731 # shortest
    async with (
        relay(phone.address, doubling) as between,
        sipp.run("uac_talk", port, *SERVICE, "-d", "300", remote=between),
    ):
        call = Call((await phone.invited()).answer())
        assert await call.ends() == Ended(Cause.CALLEE_HUNG_UP)
    assert phone.invites.empty()


async def test_a_lost_ack_is_asked_for_again(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    async with (
        relay(phone.address, dropping(b"ACK", 1)) as between,
        sipp.run("uac_talk", port, *SERVICE, "-d", "1500", remote=between),
    ):
        call = Call((await phone.invited()).answer())
        await call.sees(Answered())
        assert await call.ends() == Ended(Cause.CALLEE_HUNG_UP)


async def test_the_caller_may_put_us_on_hold(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    async with sipp.run("uac_hold", port, *SERVICE, remote=phone.address):
        call = Call((await phone.invited()).answer())
        assert await call.ends() == Ended(Cause.CALLEE_HUNG_UP)


async def test_a_call_over_tcp(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port, transport="tcp"))
    address = phone.carrier.address("TCP")
    async with sipp.run("uac_talk", port, *SERVICE, "-t", "t1", "-d", "300", remote=address):
        call = Call((await phone.invited()).answer())
        assert await call.ends() == Ended(Cause.CALLEE_HUNG_UP)
    assert address
    assert address[0] == LOOPBACK
