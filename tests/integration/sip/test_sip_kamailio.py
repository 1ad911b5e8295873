"""Our registration and calls through Kamailio, which wants a digest for both."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from call_service.carriers.port import Answered, Cause, Ended
from call_service.carriers.sip import Listener, Trunk, server_context
from tests.integration.sip.conftest import Call, MakePhone, trunk
from tests.support.certificates import write_certificates
from tests.support.sip_peers import LOOPBACK, Sipp, free_port, listens, running, until
from tests.support.sweep import correlation, sweep

TEMPLATES = Path(__file__).parent / "peers"


@dataclass
class Proxy:
    """Where Kamailio listens (UDP and TCP on one port), whom it calls, and who may call without a digest."""

    port: int
    tls_port: int
    callee: int
    third: int
    trusted: int
    folder: Path

    def trunk(self, transport: str, **options: object) -> Trunk:
        port = self.tls_port if transport == "tls" else self.port
        fields: dict[str, object] = {"transport": transport, "username": "us", "password": "secret"}
        return trunk(port, **{**fields, "registers": True, "ca_file": str(self.folder / "ca.pem"), **options})


@asynccontextmanager
async def kamailio(folder: Path, algorithm: str) -> AsyncIterator[Proxy]:
    write_certificates(folder)
    proxy = Proxy(free_port(), free_port(), free_port(), free_port(), free_port(), folder)
    gaps = {
        "udp": str(proxy.port),
        "callee": f"sip:{LOOPBACK}:{proxy.callee}",
        "third": f"sip:{LOOPBACK}:{proxy.third}",
        "trusted": str(proxy.trusted),
        "algorithm": algorithm,
        "enable_tls": "enable_tls=yes",
        "listen_tls": f"listen=tls:127.0.0.1:{proxy.tls_port}",
        "load_tls": f'loadmodule "tls.so"\nmodparam("tls", "config", "{folder}/tls.cfg")',
        "folder": str(folder),
    }
    for name in ("kamailio.cfg", "tls.cfg"):
        text = (TEMPLATES / name).read_text()
        for gap, word in gaps.items():
            text = text.replace(f"{{{{{gap}}}}}", word)
        (folder / name).write_text(text)
    command = ["kamailio", "-DD", "-f", str(folder / "kamailio.cfg"), "-Y", str(folder), "-w", str(folder)]
    command += ["-P", str(folder / "pid"), "-m", "32", "-M", "4"]
    async with running(command, folder / "kamailio.log", folder) as peer:
        await listens(proxy.tls_port, peer, "tcp")
        await asyncio.sleep(0.3)  # it listens before its workers run
        yield proxy


LISTENERS = (Listener("UDP", LOOPBACK, 0), Listener("TCP", LOOPBACK, 0), Listener("TLS", LOOPBACK, 0))


@pytest.mark.parametrize(
    ("transport", "algorithm"), [("udp", "MD5"), ("udp", "SHA-256"), ("tcp", "SHA-256"), ("tls", "SHA-256")]
)
async def test_registered_calls_both_ways(
    make_phone: MakePhone, sipp: Sipp, tmp_path: Path, transport: str, algorithm: str
) -> None:
    async with kamailio(tmp_path, algorithm) as proxy:
        tls = server_context(str(tmp_path / "server.pem"), str(tmp_path / "server.key"))
        phone = await make_phone(proxy.trunk(transport), listeners=LISTENERS, server_tls=tls)
        await until(lambda: phone.carrier.states["peer"].is_registered)
        async with sipp.run("uas_answer", proxy.callee):
            call = await phone.dial_answered()
            await call.leg.hang_up()
        remote = (LOOPBACK, proxy.port)
        async with sipp.run("uac_talk", proxy.trusted, "-s", "us", "-d", "300", remote=remote):
            call = Call((await phone.invited()).answer())
            await call.sees(Answered())
            assert await call.ends() == Ended(Cause.CALLEE_HUNG_UP)
        await phone.carrier.close()


async def test_a_wrong_password_is_told_and_not_hammered(make_phone: MakePhone, tmp_path: Path) -> None:
    async with kamailio(tmp_path, "MD5") as proxy:
        phone = await make_phone(proxy.trunk("udp", password="wrong"))
        await until(lambda: phone.carrier.states["peer"].last_error)
        assert phone.carrier.states["peer"].last_error == "401 Unauthorized"
        assert phone.carrier.states["peer"].is_registered is False


async def test_a_certificate_of_a_stranger_is_refused(make_phone: MakePhone, tmp_path: Path) -> None:
    async with kamailio(tmp_path, "MD5") as proxy:
        tls = server_context(str(tmp_path / "server.pem"), str(tmp_path / "server.key"))
        phone = await make_phone(proxy.trunk("tls", ca_file=None), listeners=LISTENERS, server_tls=tls)
        await until(lambda: phone.carrier.states["peer"].last_error)
        assert "certificate" in str(phone.carrier.states["peer"].last_error)


@pytest.mark.parametrize("leaves_first", [False, True])
async def test_a_peer_may_refer_us_to_somebody(
    make_phone: MakePhone, sipp: Sipp, tmp_path: Path, leaves_first: bool
) -> None:
    """The agent goes on with the third party; the one who referred us hears how it went, or is gone by then."""
    async with kamailio(tmp_path, "MD5") as proxy:
        phone = await make_phone(proxy.trunk("udp", registers=False, accepts_refer=True))
        target = f"sip:third@{LOOPBACK}:{proxy.port}"
        # The next NOTIFY may come before it leaves; `-aa` answers that.
        scenario, *options = ("uas_refers_and_leaves", "-aa") if leaves_first else ("uas_refers",)
        async with sipp.run("uas_answer", proxy.third, "-rtp_echo"):
            async with sipp.run(scenario, proxy.callee, *options, target=target):
                call = await phone.dial_answered()
                before = call.leg.session
            await until(lambda: call.leg.session is not before)
            call.leg.play(sweep(1.0))
            await asyncio.sleep(2)
            await call.leg.hang_up()
        assert call.events[-1] == Ended(Cause.LOCAL_HANG_UP)
        likeness = correlation(sweep(1.0), bytes(call.heard))
        assert likeness > 0.99
