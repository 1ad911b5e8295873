"""Calls that come in over a trunk are answered by the agent of the called number, or refused with the right code."""

import asyncio
import sys
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from aiohttp.test_utils import TestServer

from call_service.calls import repository
from call_service.calls.domain import Call
from call_service.capacity.domain import Limits
from call_service.carriers import g711
from call_service.carriers.sip import Trunk
from call_service.inbound.directory import NumberDirectory
from call_service.inbound.reception import Reception
from call_service.projects import HttpProjectDirectory
from call_service.signalling import repository as signalling
from call_service.trunks.refusals import Refusal, of_trunk
from shared.background import running
from shared.clock import SystemClock
from shared.db import Database
from shared.ids import new_id
from shared.testing.waiting import eventually
from shared.tokens import InternalTokens
from tests.integration.sip.conftest import MakePhone, Phone, trunk
from tests.support.calls import LIMITS, SECRET, FakeProjects, agent
from tests.support.sip_peers import Sipp, free_port, relay, until
from tests.support.sweep import correlation, sweep
from tests.support.workers import events_of, new_worker, read, sweeper, tools

NUMBER, CALLER = "+12025559999", "+12025550199"
LEASE = timedelta(seconds=30)
ROOT = Path(__file__).parents[3]


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.connect(database_url, "calls", max_size=4)
    yield database
    await database.close()


@dataclass
class Office:
    """A worker whose calls come in at `address`, and the project service it asks."""

    db: Database
    phone: Phone
    projects: FakeProjects
    trunk_id: str
    drain: Callable[[], Awaitable[None]]

    async def calls(self) -> list[Call]:
        rows = await self.db.fetch("SELECT id FROM calls ORDER BY created_at")
        return [await read(self.db, str(row["id"])) for row in rows]

    async def refusals(self, count: int) -> list[Refusal]:
        """What the trunk's owner sees, once it is that many."""

        async def are_kept() -> bool:
            return len(await of_trunk(self.db, self.projects.tenant, self.trunk_id)) == count

        await eventually(are_kept)
        return await of_trunk(self.db, self.projects.tenant, self.trunk_id)

    async def only_call(self) -> Call:
        """The one call that there is, once it is complete."""

        async def is_complete() -> bool:
            found = await self.calls()
            return bool(found) and found[0].completed_at is not None

        await eventually(is_complete, 30)
        [call] = await self.calls()
        return call


@asynccontextmanager
async def office(
    db: Database,
    make_phone: MakePhone,
    folder: Path,
    *,
    max_calls: int = 40,
    others: Sequence[Trunk] = (),
    limits: Limits = LIMITS,
) -> AsyncIterator[Office]:
    """Calls come in by the trunk of `projects`, or by one of the `others`."""
    fake = FakeProjects()
    fake.numbers[NUMBER] = agent(silenceTimeoutSeconds=5)
    trunk_id = await add_trunk(db, fake.tenant)
    own = trunk(free_port(), name=trunk_id, source_networks=["127.0.0.0/8"])
    phone = await make_phone(*others, own)
    async with TestServer(fake.app()) as server, aiohttp.ClientSession() as session:
        tokens = InternalTokens(SECRET, "call_worker", SystemClock().now)
        directory = NumberDirectory(HttpProjectDirectory(session, str(server.make_url("/")), tokens), SystemClock())
        worker = await new_worker(db, phone.carrier, folder, lease=LEASE, max_calls=max_calls)
        reception = Reception(replace(await tools(db, phone.carrier, folder), limits=limits), worker, directory)
        phone.carrier.on_call(reception.take)
        phone.carrier.on_refusal(reception.refusals.note)
        async with running(worker.run(10), "worker"):
            yield Office(db, phone, fake, trunk_id, worker.drain)
            await reception.close()
            await phone.carrier.close()
            await worker.drain()


async def add_trunk(db: Database, tenant: str, name: str = "main") -> str:
    trunk_id = new_id()
    await db.execute(
        """INSERT INTO trunks (id, tenant, name, host, transport, srtp, username, password, realm, registers, inbound,
               allowed_addresses, calls_per_second, max_concurrent)
           VALUES ($1, $2, $3, '127.0.0.1', 'udp', 'off', '', '', '', false, 'address', '[]', 1, 100)""",
        trunk_id,
        tenant,
        name,
    )
    return trunk_id


def channels(path: Path) -> tuple[bytes, bytes]:
    """The caller and the agent of a recording."""
    with wave.open(str(path)) as recording:
        both = np.frombuffer(recording.readframes(recording.getnframes()), np.int16).reshape(-1, 2)
    return both[:, 0].tobytes(), both[:, 1].tobytes()


async def test_the_agent_answers_and_hears_the_caller(
    db: Database, make_phone: MakePhone, sipp: Sipp, tmp_path: Path
) -> None:
    (tmp_path / "caller.ulaw").write_bytes(g711.encode(sweep(2.0)))
    async with office(db, make_phone, tmp_path) as desk:
        desk.projects.numbers[NUMBER] = agent(silenceTimeoutSeconds=2, firstMessage="Hello {{name}}, this is Maya.")
        async with sipp.run("uac_play", free_port(), "-s", NUMBER, remote=desk.phone.address):
            call = await desk.only_call()
    assert (call.direction, call.from_number, call.to_number) == ("inbound", CALLER, NUMBER)
    assert (call.tenant, call.project_id) == (desk.projects.tenant, desk.projects.project_id)
    assert call.answered_at
    assert call.agent["firstMessage"] == "Hello , this is Maya."
    assert await events_of(db, call.id) == [
        *("call.ringing", "call.answered", "call.ended"),
        *("call.transcript.ready", "call.recording.ready", "call.analyzed", "call.completed"),
    ]
    [first, *_] = await repository.turns(db, call.id)
    assert (first.role, first.text[:5]) == ("agent", "Hello")
    assert first.start_ms < 1_000
    assert call.recording
    caller, spoken = channels(tmp_path / call.recording)
    likeness = correlation(sweep(2.0), caller)
    assert likeness > 0.99
    assert np.abs(np.frombuffer(spoken, np.int16)).max() > 1_000
    messages = await signalling.of_call(db, call.id)
    assert messages[0].text.startswith("INVITE")
    assert any(message.text.startswith("BYE") for message in messages)


async def test_the_caller_hears_the_agent_and_hangs_up(
    db: Database, make_phone: MakePhone, sipp: Sipp, tmp_path: Path
) -> None:
    """The caller plays back what it hears; an echo of the agent in its own recording proves both ways."""
    async with office(db, make_phone, tmp_path) as desk:
        options = ("-s", NUMBER.removeprefix("+"), "-rtp_echo", "-d", "2500")
        async with sipp.run("uac_withheld", free_port(), *options, remote=desk.phone.address):
            call = await desk.only_call()
    assert (call.status, call.reason) == ("completed", "callee_hung_up")
    assert (call.from_number, call.other_party, call.to_number) == ("anonymous", "anonymous", NUMBER)
    assert call.recording
    echo, spoken = channels(tmp_path / call.recording)
    heard = np.frombuffer(spoken, np.int16)
    loud = np.flatnonzero(np.abs(heard) > 1_000)
    likeness = correlation(heard[loud[0] : loud[0] + 4_000].tobytes(), echo)
    assert likeness > 0.99


async def test_a_doubled_invite_is_one_call(db: Database, make_phone: MakePhone, sipp: Sipp, tmp_path: Path) -> None:
    doubling = lambda data: 2 if data.startswith(b"INVITE") else 1  # noqa: E731 # shortest
    async with (
        office(db, make_phone, tmp_path) as desk,
        relay(desk.phone.address, doubling) as between,
        sipp.run("uac_talk", free_port(), "-s", NUMBER, "-d", "300", remote=between),
    ):
        call = await desk.only_call()
    assert (await events_of(db, call.id)).count("call.ended") == 1


async def refused(desk: Office, sipp: Sipp, status: int, number: str = NUMBER) -> None:
    """sipp fails unless this is the answer."""
    async with sipp.run("uac_refused", free_port(), "-s", number, remote=desk.phone.address, status=str(status)):
        pass


async def test_numbers_that_nobody_answers(db: Database, make_phone: MakePhone, sipp: Sipp, tmp_path: Path) -> None:
    async with office(db, make_phone, tmp_path) as desk:
        await refused(desk, sipp, 404, "+12025558888")
        await refused(desk, sipp, 404, "reception")
        assert await desk.calls() == []
        desk.projects.numbers["+12025557777"] = None
        await refused(desk, sipp, 480, "+12025557777")
        call = await desk.only_call()
    assert (call.status, call.reason, call.fault, call.sip_code) == ("failed", "no_agent", "tenant", 480)
    assert call.agent_id is None
    assert await events_of(db, call.id) == ["call.ended", "call.completed"]


async def test_an_agent_that_lacks_a_key_is_no_better_at_another_worker(
    db: Database, make_phone: MakePhone, sipp: Sipp, tmp_path: Path
) -> None:
    async with office(db, make_phone, tmp_path) as desk:
        choice = {"provider": "deepgram", "model": "nova-3"}
        desk.projects.numbers[NUMBER] = agent(providers={"stt": choice, "llm": None, "tts": None})
        await refused(desk, sipp, 480)
        call = await desk.only_call()
    assert (call.status, call.reason, call.fault, call.sip_code) == ("failed", "provider_key_missing", "tenant", 480)


async def test_a_full_or_draining_worker_sends_the_caller_on(
    db: Database, make_phone: MakePhone, sipp: Sipp, tmp_path: Path
) -> None:
    async with office(db, make_phone, tmp_path, max_calls=1) as desk:
        async with sipp.run("uac_talk", free_port(), "-s", NUMBER, "-d", "3000", remote=desk.phone.address):

            async def talks() -> bool:
                return any(call.answered_at for call in await desk.calls())

            await eventually(talks)
            await refused(desk, sipp, 503)
        await until(lambda: desk.phone.carrier.states and not any(s.calls for s in desk.phone.carrier.states.values()))
        talked, full = await desk.calls()
        assert talked.answered_at
        assert (full.status, full.reason, full.sip_code) == ("failed", "no_capacity", 503)
        await desk.drain()
        await refused(desk, sipp, 503)
        assert len(await desk.calls()) == 2


@pytest.mark.parametrize("of", ["tenant", "trunk"])
async def test_calls_that_come_in_are_refused_where_the_tenant_or_her_trunk_has_no_room(
    db: Database, make_phone: MakePhone, sipp: Sipp, tmp_path: Path, of: str
) -> None:
    """The limits of calls that are made; 486, as no other worker would take it either."""
    limits = replace(LIMITS, max_calls=1) if of == "tenant" else LIMITS
    async with office(db, make_phone, tmp_path, limits=limits) as desk:
        await db.execute("UPDATE trunks SET max_concurrent = $1", 1 if of == "trunk" else 100)
        async with sipp.run("uac_talk", free_port(), "-s", NUMBER, "-d", "2000", remote=desk.phone.address):

            async def talks() -> bool:
                return any(call.answered_at for call in await desk.calls())

            await eventually(talks)
            await refused(desk, sipp, 486)
        await until(lambda: not any(state.calls for state in desk.phone.carrier.states.values()))
        talked, busy = await desk.calls()
        assert talked.answered_at
        reason = "too_many_calls" if of == "tenant" else "trunk_busy"
        assert (busy.status, busy.reason, busy.fault, busy.sip_code) == ("failed", reason, "tenant", 486)
        assert await events_of(db, busy.id) == ["call.ended", "call.completed"]
        async with sipp.run("uac_talk", free_port(), "-s", NUMBER, "-d", "300", remote=desk.phone.address):
            pass
        assert (await desk.calls())[-1].answered_at


async def test_refused_calls_are_kept_with_their_messages_for_the_owner_of_the_trunk(
    db: Database, make_phone: MakePhone, sipp: Sipp, tmp_path: Path
) -> None:
    async with office(db, make_phone, tmp_path) as desk:
        await refused(desk, sipp, 404, "+12025558888")
        await desk.refusals(1)
        desk.projects.numbers["+12025557777"] = None
        await refused(desk, sipp, 480, "+12025557777")
        no_agent, unknown = await desk.refusals(2)
        [call] = await desk.calls()
        assert (no_agent.sip_code, no_agent.reason, no_agent.call_id) == (480, "no_agent", call.id)
        assert (unknown.sip_code, unknown.reason, unknown.call_id) == (404, "unknown_number", None)
        assert (unknown.from_number, unknown.to_number) == (CALLER, "+12025558888")
        starts = [message.text.partition("\n")[0] for message in unknown.messages]
        assert [start.split()[0] for start in starts] == ["INVITE", "SIP/2.0", "SIP/2.0"]
        assert starts[-1] == "SIP/2.0 404 Not Found"
        assert [message.text for message in await signalling.of_call(db, call.id)] == [
            message.text for message in no_agent.messages
        ]
        strict = trunk(free_port(), name=desk.trunk_id, transport="tls", srtp="required")
        await desk.phone.carrier.use([strict])
        await refused(desk, sipp, 488)
        newest = (await desk.refusals(3))[0]
        assert (newest.sip_code, newest.reason) == (488, "refused_by_trunk")


async def test_nobody_sees_refused_calls_of_an_address_that_several_customers_name(
    db: Database, make_phone: MakePhone, sipp: Sipp, tmp_path: Path
) -> None:
    other = await add_trunk(db, new_id())
    everywhere = trunk(free_port(), name=other, source_networks=["127.0.0.0/8"])
    async with office(db, make_phone, tmp_path, others=[everywhere]) as desk:
        await refused(desk, sipp, 404, "+12025558888")
        desk.projects.numbers["+12025557777"] = None
        await refused(desk, sipp, 480, "+12025557777")  # her number: it is known whose trunk this is
        assert [refusal.to_number for refusal in await desk.refusals(1)] == ["+12025557777"]
        assert await db.fetchval("SELECT count(*) FROM trunk_refusals") == 1


async def test_a_wrong_password_is_seen_by_the_owner_of_the_trunk(
    db: Database, make_phone: MakePhone, sipp: Sipp, tmp_path: Path
) -> None:
    async with office(db, make_phone, tmp_path) as desk:
        fields = {"host": "192.0.2.1", "inbound": "digest", "username": CALLER, "password": "secret"}
        await desk.phone.carrier.use([trunk(free_port(), name=desk.trunk_id, **fields)])
        options = ("-s", NUMBER, "-au", CALLER, "-ap", "wrong")
        async with sipp.run("uac_wrong_digest", free_port(), *options, remote=desk.phone.address):
            [refusal] = await desk.refusals(1)
        assert (refusal.sip_code, refusal.reason, refusal.to_number) == (401, "digest_refused", NUMBER)
        assert "wrong" not in str(refusal)
        assert "Authorization: (hidden)" in refusal.messages[0].text
        assert await desk.calls() == []


async def test_without_the_project_service_only_known_numbers_are_answered(
    db: Database, make_phone: MakePhone, sipp: Sipp, tmp_path: Path
) -> None:
    async with office(db, make_phone, tmp_path) as desk:
        desk.projects.is_down = True
        await refused(desk, sipp, 503)
        assert await desk.calls() == []
        desk.projects.is_down = False
        for is_down in (False, True):
            desk.projects.is_down = is_down
            async with sipp.run("uac_talk", free_port(), "-s", NUMBER, "-d", "300", remote=desk.phone.address):
                pass
        assert [bool(call.answered_at) for call in await desk.calls()] == [True, True]


async def test_a_caller_who_gives_up_while_it_rings(
    db: Database, make_phone: MakePhone, sipp: Sipp, tmp_path: Path
) -> None:
    async with office(db, make_phone, tmp_path) as desk:
        take = desk.phone.carrier.on_invite
        assert take

        async def ring_first(incoming: object) -> None:
            incoming.ring()  # type: ignore[attr-defined] # an IncomingCall
            await until(lambda: not incoming.is_open)  # type: ignore[attr-defined] # an IncomingCall
            take(incoming)  # type: ignore[arg-type] # an IncomingCall

        tasks: list[asyncio.Task[None]] = []
        desk.phone.carrier.on_call(lambda incoming: tasks.append(asyncio.create_task(ring_first(incoming))))
        async with sipp.run("uac_cancel", free_port(), "-s", NUMBER, remote=desk.phone.address):
            call = await desk.only_call()
    assert (call.status, call.reason, call.sip_code) == ("canceled", "caller_gave_up", 487)
    assert await events_of(db, call.id) == ["call.ringing", "call.ended", "call.completed"]


async def test_an_address_of_several_customers_is_of_who_has_the_called_number(
    db: Database, make_phone: MakePhone, sipp: Sipp, tmp_path: Path
) -> None:
    """A provider has one address for all. Who lists somebody else's number at her own trunk gets none of its calls."""
    other = await add_trunk(db, new_id())
    everywhere = trunk(free_port(), name=other, source_networks=["127.0.0.0/8"], caller_ids=[NUMBER], max_calls=1)
    async with office(db, make_phone, tmp_path, others=[everywhere]) as desk:
        for _ in range(2):
            async with sipp.run("uac_talk", free_port(), "-s", NUMBER, "-d", "300", remote=desk.phone.address):
                pass
        await refused(desk, sipp, 404, "+12025558888")
        await until(lambda: not any(state.calls for state in desk.phone.carrier.states.values()))
        calls = await desk.calls()
    assert [(call.tenant, call.trunk_id) for call in calls] == [(desk.projects.tenant, desk.trunk_id)] * 2


async def test_a_password_is_asked_for_though_somebody_else_claims_the_address(
    db: Database, make_phone: MakePhone, sipp: Sipp, tmp_path: Path
) -> None:
    """And a caller whose number is the user name of somebody else's trunk isn't asked for one."""
    other = await add_trunk(db, new_id())
    everywhere = trunk(free_port(), name=other, source_networks=["127.0.0.0/8"])
    async with office(db, make_phone, tmp_path, others=[everywhere]) as desk:
        fields = {"host": "192.0.2.1", "inbound": "digest", "username": CALLER, "password": "secret"}
        await desk.phone.carrier.use([everywhere, trunk(free_port(), name=desk.trunk_id, **fields)])
        options = ("-s", NUMBER, "-au", CALLER, "-ap", "secret", "-d", "300")
        async with sipp.run("uac_digest", free_port(), *options, remote=desk.phone.address):
            proven = await desk.only_call()
        assert (proven.tenant, proven.trunk_id) == (desk.projects.tenant, desk.trunk_id)

        by_address = trunk(free_port(), name=desk.trunk_id, source_networks=["127.0.0.0/8"])
        await desk.phone.carrier.use([trunk(free_port(), name=other, **fields), by_address])
        async with sipp.run("uac_talk", free_port(), "-s", NUMBER, "-d", "300", remote=desk.phone.address):
            pass
        assert len(await desk.calls()) == 2


async def test_keys_of_srtp_are_not_taken_in_the_clear(
    db: Database, make_phone: MakePhone, sipp: Sipp, tmp_path: Path
) -> None:
    async with office(db, make_phone, tmp_path) as desk:
        strict = trunk(free_port(), name=desk.trunk_id, transport="tls", srtp="required")
        await desk.phone.carrier.use([strict])
        await refused(desk, sipp, 488)
        assert await desk.calls() == []


async def test_calls_of_strangers_are_not_even_refused(db: Database, make_phone: MakePhone, tmp_path: Path) -> None:
    phone = await make_phone(trunk(free_port(), host="192.0.2.1"))
    invites: list[object] = []
    phone.carrier.on_call(invites.append)
    loop = asyncio.get_running_loop()
    heard: list[bytes] = []

    class Scanner(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            heard.append(data)

    transport, _ = await loop.create_datagram_endpoint(Scanner, remote_addr=phone.address)
    message = (
        "INVITE sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n"
    )
    message += "To: <sip:100@127.0.0.1>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:a@127.0.0.1>\r\n\r\n"
    transport.sendto(message.encode())
    await until(lambda: phone.carrier._desk.ignored)
    await asyncio.sleep(0.2)
    transport.close()
    assert (invites, heard) == ([], [])


async def test_a_killed_worker_leaves_no_call_behind(
    db: Database, database_url: str, sipp: Sipp, tmp_path: Path
) -> None:
    fake = FakeProjects()
    fake.numbers[NUMBER] = agent(silenceTimeoutSeconds=30)
    trunk_id = await add_trunk(db, fake.tenant)
    async with TestServer(fake.app()) as server:
        arguments = [database_url, str(server.make_url("/")), trunk_id, str(tmp_path)]
        command = [sys.executable, "-m", "tests.support.sip_worker_process", *arguments]
        worker = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        try:
            assert worker.stdout
            port = int(await asyncio.wait_for(worker.stdout.readline(), 30))
            with pytest.raises(AssertionError, match="sipp ended"):  # nobody answers its BYE
                await _call_and_kill(db, sipp, ("127.0.0.1", port), worker)
        finally:
            if worker.returncode is None:
                worker.kill()
            await worker.wait()

    async def is_swept() -> bool:
        return await sweeper(db, tmp_path).sweep_once() == 1

    await eventually(is_swept, 10)
    [call_id] = [str(row["id"]) for row in await db.fetch("SELECT id FROM calls")]
    call = await read(db, call_id)
    assert (call.direction, call.status, call.reason) == ("inbound", "failed", "worker_lost")
    assert (await events_of(db, call_id)).count("call.ended") == 1


async def _call_and_kill(
    db: Database, sipp: Sipp, address: tuple[str, int], worker: asyncio.subprocess.Process
) -> None:
    async with sipp.run("uac_talk", free_port(), "-s", NUMBER, "-d", "1500", remote=address, seconds=6):
        await eventually(lambda: _talks(db))
        worker.kill()


async def _talks(db: Database) -> bool:
    return bool(await db.fetchval("SELECT count(*) FROM calls WHERE answered_at IS NOT NULL"))
