"""Who gets an answer, where calls go when a host is down, and many calls at once."""

import asyncio
import socket
import time
from pathlib import Path

import pytest

from call_service.carriers.port import Answered, CarrierRejectedError, Cause, Ended, OutcomeUnknownError
from call_service.carriers.rtp import RtpEngine
from call_service.carriers.sip import Listener, transports
from call_service.carriers.ticker import Ticker
from tests.integration.sip.conftest import Call, MakePhone, trunk
from tests.support.sip_peers import LOOPBACK, Sipp, free_port, running, until
from tests.support.sweep import correlation, sweep

SERVICE = ("-s", "+12025559999")


class Hosts:
    """Names to addresses on loopback."""

    def __init__(self, **hosts: list[str]) -> None:
        self._hosts = hosts

    async def services(self, name: str) -> list[object]:
        return []

    async def addresses(self, host: str) -> list[str]:
        return self._hosts.get(host, [])


async def test_a_stranger_hears_nothing(make_phone: MakePhone, tmp_path: Path) -> None:
    phone = await make_phone(trunk(free_port(), host="192.0.2.1"))
    for flags in ((), ("-T",)):
        command = ["sipsak", *flags, "-s", f"sip:100@{phone.address[0]}:{phone.address[1]}", "-D", "1", "-v"]
        async with running(command, tmp_path / "sipsak.log") as scanner:
            assert await scanner.ends(60) != 0
            assert "SIP/2.0" not in scanner.output.replace("Via: SIP/2.0", "")
    assert phone.carrier._desk.ignored > 0
    with socket.create_connection(phone.carrier.address("TCP") or ("", 0)) as scanner:
        scanner.settimeout(5)
        assert await asyncio.to_thread(scanner.recv, 100) == b""


async def test_of_one_address_so_many_connections_are_taken(
    make_phone: MakePhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transports, "MAX_ACCEPTED_OF_HOST", 2)
    phone = await make_phone(trunk(free_port()))
    address = phone.carrier.address("TCP")
    assert address
    (_, first), (_, second) = [await asyncio.open_connection(*address) for _ in range(2)]
    accepted = phone.carrier._transports._accepted
    await until(lambda: accepted.total() == 2)
    reader, third = await asyncio.open_connection(*address)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    first.close()
    await until(lambda: accepted.total() == 1)
    reader, fourth = await asyncio.open_connection(*address)
    fourth.write(b"\r\n\r\n")  # a keep-alive (RFC 5626, 4.4.1)
    async with asyncio.timeout(5):
        assert await reader.readexactly(2) == b"\r\n"
    for each in (second, third, fourth):
        each.close()
    await until(lambda: not accepted)


async def test_a_trunk_may_ping_us(make_phone: MakePhone, tmp_path: Path) -> None:
    phone = await make_phone(trunk(free_port()))
    command = ["sipsak", "-s", f"sip:100@{phone.address[0]}:{phone.address[1]}"]
    async with running(command, tmp_path / "sipsak.log") as peer:
        assert await peer.ends() == 0


async def test_a_caller_may_prove_itself_by_digest(make_phone: MakePhone, sipp: Sipp) -> None:
    fields = {"host": "192.0.2.1", "inbound": "digest", "username": "+12025550199", "password": "secret"}
    phone = await make_phone(trunk(free_port(), **fields))
    options = ("-au", "+12025550199", "-ap", "secret", "-d", "300")
    async with sipp.run("uac_digest", free_port(), *SERVICE, *options, remote=phone.address):
        call = Call((await phone.invited()).answer())
        assert await call.ends() == Ended(Cause.CALLEE_HUNG_UP)
    async with sipp.run(
        "uac_wrong_digest", free_port(), *SERVICE, "-au", "+12025550199", "-ap", "x", remote=phone.address
    ):
        pass
    assert phone.invites.empty()


async def test_a_dead_host_is_passed_over(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    hosts = Hosts(trunk=["127.0.0.2", LOOPBACK])
    phone = await make_phone(trunk(port, host="trunk"), lookup=hosts)
    async with sipp.run("uas_answer", port, calls=2):
        for _ in range(2):
            call = await phone.dial_answered()
            await call.leg.hang_up()


async def test_nobody_there_is_a_certain_failure(make_phone: MakePhone) -> None:
    for transport in ("udp", "tcp"):
        phone = await make_phone(trunk(free_port(), transport=transport))
        with pytest.raises(CarrierRejectedError):
            await phone.dial()
        assert await phone.carrier.find("call-+12025550100") is None


async def test_silence_is_an_unknown_outcome(make_phone: MakePhone, hasty_timers: object) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((LOOPBACK, 0))
        phone = await make_phone(trunk(silent.getsockname()[1]), timers=hasty_timers)
        with pytest.raises(OutcomeUnknownError):
            await phone.dial()
        assert await phone.carrier.find("call-+12025550100") is True
        await until(lambda: len(phone.carrier._agent.transactions) == 0)


async def test_a_trunk_takes_only_so_many_calls(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port, max_calls=1))
    async with sipp.run("uas_answer", port):
        call = await phone.dial_answered()
        with pytest.raises(CarrierRejectedError):
            await phone.dial()
        await call.leg.hang_up()
    assert phone.carrier.states["peer"].calls == 0


async def test_no_audio_goes_to_an_address_out_of_bounds(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port), may_reach=lambda address: address == LOOPBACK)
    async with sipp.run("uas_answer", port, "-mi", "127.0.0.2"):
        call = await phone.dial()
        ended = await call.ends()
    assert (ended.sip_code, Answered() in call.events) == (488, False)


async def test_a_referral_is_declined_unless_allowed(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port))
    async with sipp.run("uas_refers_declined", port, target="sip:+19005550100@192.0.2.1"):
        call = await phone.dial_answered()
        await asyncio.sleep(0.5)
        assert call.events[-1] == Answered()
        await call.leg.hang_up()


async def test_a_hundred_calls_are_held(make_phone: MakePhone, sipp: Sipp) -> None:
    port = free_port()
    phone = await make_phone(trunk(port, max_calls=100), ports=range(33_000, 33_240))
    async with sipp.run("uas_answer", port, "-rtp_echo", calls=100, seconds=60):
        calls = await asyncio.gather(*(phone.dial_answered(f"+1202555{number:04}") for number in range(100)))
        start = time.monotonic()
        await asyncio.sleep(10)
        assert all(call.events[-1] == Answered() for call in calls)
        frames = min(len(call.heard) // 320 for call in calls)
        assert frames > (time.monotonic() - start) * 50 * 0.9
        for call in calls:
            await call.leg.hang_up()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_calls_over_ipv6(make_phone: MakePhone, transport: str) -> None:
    """Signalling and audio between two of our own, as sipp writes IPv6 addresses into SDP with brackets."""
    listeners = (Listener(transport.upper(), "::1", 0),)
    audio = (
        RtpEngine(range(20_200, 20_220), "::1", "::1", Ticker()),
        RtpEngine(range(20_220, 20_240), "::1", "::1", Ticker()),
    )
    callee = await make_phone(trunk(9, host="::1", transport=transport), listeners=listeners, rtp_ipv6=audio[0])
    address = callee.carrier.address(transport.upper(), ipv6=True)
    assert address
    caller = await make_phone(
        trunk(address[1], host="::1", transport=transport), listeners=listeners, rtp_ipv6=audio[1]
    )
    dialling = asyncio.create_task(caller.dial())
    answered = Call((await callee.invited()).answer())
    call = await dialling
    await call.sees(Answered())
    await asyncio.sleep(0.5)
    call.leg.play(sweep(1.0))
    await asyncio.sleep(2)
    await call.leg.hang_up()
    assert await answered.ends() == Ended(Cause.CALLEE_HUNG_UP)
    likeness = correlation(sweep(1.0), bytes(answered.heard))
    assert likeness > 0.99


async def test_trunks_are_replaced_while_calls_go_on(make_phone: MakePhone, sipp: Sipp) -> None:
    old, new = free_port(), free_port()
    phone = await make_phone(trunk(old))
    async with sipp.run("uas_answer", old), sipp.run("uas_answer", new):
        first = await phone.dial_answered()
        await phone.carrier.use([trunk(new, name="new", password="x")])
        second = await phone.dial_answered(trunk="new")
        assert phone.carrier.states["new"].calls == 1
        assert first.events[-1] == Answered()
        for call in (first, second):
            await call.leg.hang_up()
    assert list(phone.carrier.states) == ["new"]
    with pytest.raises(CarrierRejectedError):
        await phone.dial()
