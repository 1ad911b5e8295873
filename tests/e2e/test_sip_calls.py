"""Calls over a trunk made by the API, out and in: through Kamailio over TLS, with SRTP to a softphone that talks."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import jiwer
import pytest
import pytest_asyncio

from deploy.demo.receiver import Receiver
from deploy.local.stack import Stack
from shared.testing.waiting import eventually
from tests.e2e.conftest import SETTINGS
from tests.e2e.test_conversation import MOST_WORD_ERRORS, PUBLIC_TYPES, word_errors
from tests.support.baresip import Baresip, baresip
from tests.support.certificates import write_certificates
from tests.support.customers import Customer, new_customer
from tests.support.recorded_caller import record_caller
from tests.support.sip_peers import LOOPBACK, Sipp, free_port
from tests.support.sip_provider import Provider, provider

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

SAYS = ("Hi, I would like to make an appointment, please.", "My name is Anna Miller.")
# Nobody listens to what the agent says in between: the pauses are longer than that takes.
PAUSES = (8.0, 9.0)
CALLEE, NOBODYS = "+12025550100", "+12025550188"


@dataclass
class SipStack:
    """A stack, and where its worker takes calls."""

    folder: Path
    udp_port: int
    tls_port: int
    stack: Stack = field(init=False)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sip_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SipStack]:
    """A stack whose worker is called over TLS; whoever has a certificate of `folder` is believed."""
    folder = tmp_path_factory.mktemp("sip")
    write_certificates(folder)
    found = SipStack(folder, free_port(), free_port())
    env = {
        "SIP_PORT": str(found.udp_port),
        "SIP_TLS_PORT": str(found.tls_port),
        "SIP_TLS_CERTIFICATE": str(folder / "server.pem"),
        "SIP_TLS_KEY": str(folder / "server.key"),
        "SIP_CA_FILE": str(folder / "ca.pem"),
        "RTP_FIRST_PORT": "29800",
        "RTP_LAST_PORT": "29899",
        "WORKER_MAX_CALLS": "1",
        "PRICE_PER_MINUTE": "0.06",
    }
    async with await Stack.start(folder / "stack", extra_env={**SETTINGS, **env}) as found.stack:
        yield found
        found.stack.at_once.set()


@dataclass
class Desk:
    """A customer with a trunk to a provider, the provider's phone, and a webhook receiver."""

    customer: Customer
    provider: Provider
    phone: Baresip
    receiver: Receiver
    trunk: dict[str, Any]
    number: str
    known: set[str] = field(default_factory=set)

    async def new_call(self) -> str:
        """The id of the call that came in since this was asked last."""
        found: set[str] = set()

        async def is_there() -> bool:
            listed = await self.customer.api.ask("GET", f"/call?projectId={self.customer.project_id}&direction=inbound")
            found.update({call["call_id"] for call in listed["data"]} - self.known)
            return bool(found)

        await eventually(is_there)
        self.known |= found
        return found.pop()

    async def is_complete(self, call_id: str) -> dict[str, Any]:
        """The call, once everything about it is in."""
        assert await self.receiver.wait_for("call.completed", call_id, 90)
        return dict(await self.customer.api.ask("GET", f"/call/{call_id}"))


@asynccontextmanager
async def desk(at: SipStack, session: aiohttp.ClientSession, folder: Path, **changes: Any) -> AsyncIterator[Desk]:
    customer = await new_customer(at.stack, session)
    listed = await customer.api.ask("GET", f"/phone-number?projectId={customer.project_id}")
    number = listed["data"][0]["e164"]
    for name in ("ca.pem", "server.pem", "server.key"):
        (folder / name).write_bytes((at.folder / name).read_bytes())
    await record_caller(folder / "says.wav", list(zip(PAUSES, SAYS, strict=True)))
    async with (
        baresip(folder, CALLEE, "tls", "srtp-mand", says=folder / "says.wav") as phone,
        provider(folder, callee_port=phone.port + 1, worker_port=at.tls_port) as kamailio,
        Receiver().running() as receiver,
    ):
        await customer.add_webhook(receiver)
        body = {"name": "main", "host": LOOPBACK, "port": kamailio.tls_port, "transport": "tls", "srtp": "required"}
        trunk = await customer.api.ask("POST", "/trunk", {**body, "numbers": [number], **changes})
        found = Desk(customer, kamailio, phone, receiver, trunk, number)

        async def is_up() -> bool:
            return bool((await customer.api.ask("GET", f"/trunk/{trunk['id']}"))["health"] == "up")

        await eventually(is_up)
        yield found


def words(text: str) -> str:
    plain = jiwer.Compose([jiwer.ToLowerCase(), jiwer.RemovePunctuation(), jiwer.RemoveMultipleSpaces(), jiwer.Strip()])
    return str(plain(text))


async def check_conversation(desk: Desk, call: dict[str, Any]) -> None:
    """The transcript is what both sides said, and so is the recording; the keys of the audio are nowhere."""
    api, call_id = desk.customer.api, call["call_id"]
    said = {role: [turn["text"] for turn in call["transcript"] if turn["role"] == role] for role in ("agent", "user")}
    assert jiwer.wer(words(" ".join(SAYS)), words(" ".join(said["user"]))) <= MOST_WORD_ERRORS, said
    assert any("name" in text for text in said["agent"]), said
    recording = await api.download(f"/call/{call_id}/recording")
    for role, channel in (("user", 0), ("agent", 1)):
        assert await word_errors(" ".join(said[role]), recording, channel) <= MOST_WORD_ERRORS, role
    messages = (await api.ask("GET", f"/call/{call_id}/sip"))["messages"]
    invite, last = messages[0], messages[-1]
    assert (invite["method"], invite["transport"]) == ("INVITE", "TLS")
    assert (last["method"], last["status"]) == ("BYE", 200)
    assert "RTP/SAVP" in invite["text"]
    assert {text.split()[0] for message in messages for text in message["text"].split("inline:")[1:]} == {"(hidden)"}
    pcap = await api.download(f"/call/{call_id}/pcap")
    assert pcap.count(b"INVITE sip:") == sum("INVITE sip:" in message["text"] for message in messages)


async def hears_every_line(desk: Desk, call_id: str) -> None:
    """Wait until the agent has understood as many turns as the caller has lines."""

    async def are_there() -> bool:
        shown = await desk.customer.api.ask("GET", f"/call/{call_id}/transcript")
        return sum(turn["role"] == "user" for turn in shown["transcript"]) >= len(SAYS)

    await eventually(are_there, 60)


async def refused(desk: Desk, folder: Path, number: str, status: int) -> None:
    """Somebody calls `number` by the provider; sipp fails unless this is the answer."""
    remote = (LOOPBACK, desk.provider.udp_port)
    async with Sipp(folder).run("uac_refused", free_port(), "-s", number, remote=remote, status=str(status)):
        pass


async def test_out_over_tls_and_srtp(sip_stack: SipStack, session: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with desk(sip_stack, session, tmp_path) as at:
        call_id = await at.customer.call(CALLEE)
        await hears_every_line(at, call_id)
        at.phone.tell("hangup")
        call = await at.is_complete(call_id)
    assert (call["direction"], call["status"], call["reason"]) == ("outbound", "completed", "callee_hung_up")
    assert (call["from"], call["to"], call["trunk_id"]) == (at.number, CALLEE, at.trunk["id"])
    assert [event["type"] for event in at.receiver.verified] == PUBLIC_TYPES
    await check_conversation(at, call)


async def test_in_over_tls_and_srtp(sip_stack: SipStack, session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """And while the only place of the worker is taken, the next caller is sent on."""
    async with desk(sip_stack, session, tmp_path) as at:
        at.phone.tell("dial", f"sip:{at.number}@{LOOPBACK}:{at.provider.tls_port};transport=tls")
        call_id = await at.new_call()
        await hears_every_line(at, call_id)
        await refused(at, tmp_path, at.number, 500)  # what a proxy makes of our 503 (RFC 3261, 16.7)
        full = await at.is_complete(await at.new_call())
        at.phone.tell("hangup")
        call = await at.is_complete(call_id)
        usage = await at.customer.api.ask("GET", f"/usage?projectId={at.customer.project_id}")
    assert (full["direction"], full["status"], full["reason"]) == ("inbound", "failed", "no_capacity")
    assert (full["sip_code"], full["seconds"], full["cost"]) == (503, 0, 0)
    assert (call["direction"], call["status"], call["reason"]) == ("inbound", "completed", "callee_hung_up")
    assert (call["from"], call["to"], call["phoneNumber"]) == (CALLEE, at.number, CALLEE)
    assert (call["trunk_id"], call["agentId"]) == (at.trunk["id"], at.customer.agent_id)
    told = [event["type"] for event in at.receiver.verified if event["data"]["call_id"] == call_id]
    assert told == [name for name in PUBLIC_TYPES if name not in {"call.queued", "call.initiated"}]
    assert call["cost"] == pytest.approx(call["seconds"] * 0.06 / 60, abs=0.01)
    assert [(day["calls"], day["answered"], day["cost"]) for day in usage["data"]] == [(2, 1, call["cost"])]
    await check_conversation(at, call)


async def test_who_is_not_answered(sip_stack: SipStack, session: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with desk(sip_stack, session, tmp_path) as at:
        await refused(at, tmp_path, NOBODYS, 404)
        agent = {"projectId": at.customer.project_id, "agentId": at.customer.agent_id}
        await at.customer.api.ask("DELETE", "/agent", agent)

        async def is_forgotten() -> bool:
            with contextlib.suppress(AssertionError):
                await refused(at, tmp_path, at.number, 480)
                return True
            return False

        await eventually(is_forgotten)
        call = await at.is_complete(await at.new_call())
    assert (call["direction"], call["status"], call["reason"]) == ("inbound", "failed", "no_agent")
    assert (call["fault"], call["sip_code"], call["agentId"]) == ("tenant", 480, None)


async def test_strangers_hear_nothing(sip_stack: SipStack, session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """The trunk is at 127.0.0.1. The answer to it comes after the silence to who asked before, from 127.0.0.2."""
    async with desk(sip_stack, session, tmp_path):
        loop, worker = asyncio.get_running_loop(), (LOOPBACK, sip_stack.udp_port)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as known,
        ):
            for source, host in ((stranger, "127.0.0.2"), (known, LOOPBACK)):
                source.bind((host, 0))
                source.setblocking(False)
                for method in ("OPTIONS", "REGISTER", "INVITE", "BYE"):
                    source.sendto(_request(method, source.getsockname()), worker)
            async with asyncio.timeout(5):
                assert (await loop.sock_recv(known, 65_535)).startswith(b"SIP/2.0 200")
            with pytest.raises(BlockingIOError):
                stranger.recv(65_535)
        for port in (sip_stack.udp_port, sip_stack.tls_port):
            reader, writer = await asyncio.open_connection(LOOPBACK, port, local_addr=("127.0.0.2", 0))
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            writer.close()


def _request(method: str, source: tuple[str, int]) -> bytes:
    lines = (
        f"{method} sip:{NOBODYS}@{LOOPBACK} SIP/2.0",
        f"Via: SIP/2.0/UDP {source[0]}:{source[1]};branch=z9hG4bK{method}{source[1]}",
        f"From: <sip:somebody@{source[0]}>;tag=1",
        f"To: <sip:{NOBODYS}@{LOOPBACK}>" + (";tag=2" if method == "BYE" else ""),
        f"Call-ID: {method}{source[1]}",
        f"CSeq: 1 {method}",
        f"Contact: <sip:somebody@{source[0]}:{source[1]}>",
        "Max-Forwards: 70",
        "Content-Length: 0",
    )
    return "\r\n".join((*lines, "", "")).encode()
