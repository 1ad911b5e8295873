"""Calls we make, against sipp."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from call_service.carriers.port import Answered, Cause, Ended, Ringing, TransferFailedError
from call_service.signalling.pcap import capture
from tests.integration.sip.conftest import MakePhone, trunk
from tests.support.sip_peers import LOOPBACK, Sipp, dropping, free_port, relay, running
from tests.support.sweep import correlation, sweep

SWEEP = sweep(2.0)


async def test_what_we_play_comes_back_from_the_echo(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    async with sipp.run("uas_answer", port, "-rtp_echo"):
        call = await phone.dial_answered()
        call.leg.play(SWEEP)
        await asyncio.sleep(3)
        await call.leg.hang_up()
    assert call.events == [Ringing(), Answered(), Ended(Cause.LOCAL_HANG_UP)]
    likeness = correlation(SWEEP, bytes(call.heard))
    assert likeness > 0.99


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_an_answered_call_over(make_phone: MakePhone, sipp: Sipp, transport: str) -> None:
    port = free_port()
    phone = await make_phone(trunk(port, transport=transport))
    async with sipp.run("uas_answer", port, *(("-t", "t1") if transport == "tcp" else ())):
        call = await phone.dial_answered()
        await call.leg.hang_up()


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (486, Cause.BUSY),
        (603, Cause.DECLINED),
        (404, Cause.INVALID_NUMBER),
        (503, Cause.CARRIER_REJECTED),
        (480, Cause.NO_ANSWER),
    ],
)
async def test_a_refusal_is_reported_and_acknowledged(
    make_phone: MakePhone, sipp: Sipp, status: int, cause: str
) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    async with sipp.run("uas_reject", port, status=str(status)):
        call = await phone.dial()
        assert await call.ends() == Ended(cause, status)


async def test_an_unanswered_call_is_cancelled(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    async with sipp.run("uas_no_answer", port):
        call = await phone.dial(ring=timedelta(seconds=1))
        await call.ends()
    assert call.events == [Ringing(), Ended(Cause.NO_ANSWER, 487)]


async def test_we_can_give_up_while_it_rings(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    async with sipp.run("uas_no_answer", port):
        call = await phone.dial()
        await call.sees(Ringing())
        await call.leg.hang_up()
    assert call.events == [Ringing(), Ended(Cause.LOCAL_HANG_UP, 487)]


@pytest.mark.parametrize(("method", "times"), [(b"INVITE", 2), (b"BYE", 1), (b"ACK", 1), (b"SIP/2.0 200", 1)])
async def test_lost_packets_are_sent_again(make_phone: MakePhone, sipp: Sipp, method: bytes, times: int) -> None:
    port = free_port()
    async with sipp.run("uas_answer", port), relay((LOOPBACK, port), dropping(method, times)) as between:
        phone = await make_phone(trunk(between[1]))
        call = await phone.dial_answered()
        await call.leg.hang_up()


async def test_early_media_is_heard_before_the_answer(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    async with sipp.run("uas_early_media", port, "-rtp_echo"):
        call = await phone.dial()
        call.leg.play(sweep(1.0))
        await asyncio.sleep(1.8)
        early = bytes(call.heard)
        assert Answered() not in call.events
        await call.sees(Answered())
        await call.leg.hang_up()
    likeness = correlation(sweep(1.0), early)
    assert likeness > 0.99


async def test_we_prove_who_we_are(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port, username="us", password="secret"))
    async with sipp.run("uas_digest", port):
        call = await phone.dial_answered()
        await call.leg.hang_up()
    text = "".join(entry.text for entry in call.leg.ladder.entries)
    assert "Authorization: (hidden)" in text
    assert "response=" not in text


async def test_a_challenge_without_credentials_is_a_refusal(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    async with sipp.run("uas_reject", port, status="407"):
        call = await phone.dial()
        assert await call.ends() == Ended(Cause.CARRIER_AUTH_FAILED, 407)


@pytest.mark.parametrize(
    ("allowed", "refresh"), [("INVITE, ACK, BYE, UPDATE", "UPDATE"), ("INVITE, ACK, BYE", "INVITE")]
)
async def test_we_refresh_the_session(
    make_phone: MakePhone, sipp: Sipp, hasty_timers: object, allowed: str, refresh: str
) -> None:
    port = free_port()
    phone = await make_phone(trunk(port), timers=hasty_timers)
    async with sipp.run(f"uas_session_timer_{refresh.lower()}", port, allowed=allowed):
        call = await phone.dial_answered()
        await asyncio.sleep(3)
        await call.leg.hang_up()


async def test_hold_and_resume(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    async with sipp.run("uas_hold", port):
        call = await phone.dial_answered()
        assert await call.leg.hold(held=True)
        assert await call.leg.hold(held=False)
        await call.leg.hang_up()


async def test_a_transfer_that_succeeds_ends_our_part(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    async with sipp.run("uas_transferred", port, outcome="200"):
        call = await phone.dial_answered()
        await call.leg.transfer("sip:third@127.0.0.1")
        assert await call.ends() == Ended(Cause.TRANSFERRED)


async def test_a_transfer_that_fails_leaves_the_call(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    async with sipp.run("uas_transferred", port, outcome="486"):
        call = await phone.dial_answered()
        with pytest.raises(TransferFailedError) as failure:
            await call.leg.transfer("sip:third@127.0.0.1")
        assert failure.value.sip_code == 486
        assert call.events[-1] == Answered()
        await call.leg.hang_up()


async def test_the_messages_of_a_call_can_be_opened_as_a_capture(
    make_phone: MakePhone, sipp: Sipp, tmp_path: Path
) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    async with sipp.run("uas_answer", port):
        call = await phone.dial_answered()
        await call.leg.hang_up()
    (tmp_path / "call.pcap").write_bytes(capture(call.leg.ladder.entries))
    command = ["tcpdump", "-n", "-A", "-r", str(tmp_path / "call.pcap")]
    async with running(command, tmp_path / "tcpdump.log") as reader:
        assert await reader.ends() == 0
    for what in (f"127.0.0.1.{port}: UDP", "INVITE sip:", "SIP/2.0 180 Ringing", "ACK sip:", "BYE sip:"):
        assert what in reader.output
