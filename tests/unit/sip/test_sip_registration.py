"""Registrations and pings of a trunk, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from call_service.carriers.port import CarrierRejectedError
from call_service.carriers.sip.digest import parse_digest, response_of
from call_service.carriers.sip.line import TrunkLine
from call_service.carriers.sip.message import Request
from call_service.carriers.sip.trunk import Trunk
from tests.support.sip_world import CLIENT, SERVER, Party, Script, World

BINDING = ("Contact", "<sip:talkstack@192.0.2.1:5060>;expires=300, <sip:other@192.0.2.8>;expires=3000")


@asynccontextmanager
async def line_of(world: World, **options: object) -> AsyncIterator[TrunkLine]:
    fields: dict[str, object] = {"name": "peer", "host": SERVER.host, "pings_every": None}
    line = TrunkLine(Party(world, CLIENT).agent, Trunk.model_validate({**fields, **options}))
    await line.look_up()
    line.start()
    await world.time.advance(10)
    yield line
    for receiver in world.receivers.values():
        if isinstance(receiver, Script):
            receiver.react = lambda request, peer=receiver: peer.respond(request, 200)  # type: ignore[misc] # bound here
    closing = asyncio.create_task(line.close())
    await world.time.advance(10)
    await closing


REGISTERED: dict[str, object] = {"registers": True, "username": "us", "password": "secret"}


def _answer(peer: Script, status: int, *headers: tuple[str, str]) -> Request:
    request = peer.request("REGISTER")
    peer.respond(request, status, headers=headers)
    return request


async def test_a_registration_proves_itself_and_is_refreshed_in_time() -> None:
    world = World()
    peer = Script(world)
    async with line_of(world, **REGISTERED) as line:
        first = _answer(peer, 401, ("WWW-Authenticate", 'Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"'))
        await world.time.advance(10)
        second = peer.request("REGISTER")
        fields = parse_digest(second.get("Authorization") or "")
        assert fields["response"] == response_of(fields, "secret", "REGISTER")
        assert (second.call_id, second.from_.tag, second.cseq) == (first.call_id, first.from_.tag, first.cseq + 1)
        assert (second.get("Expires"), second.uri) == ("300", "sip:192.0.2.2")
        _answer(peer, 200, BINDING)
        await world.time.advance(10)
        assert line.state.is_registered is True
        peer.react = lambda request: peer.respond(request, 200, headers=(BINDING,))
        await world.time.advance(149_000)
        assert len(peer.methods()) == 2
        await world.time.advance(92_000)
        assert len(peer.methods()) == 3


async def test_a_lost_registrar_is_asked_again_with_growing_pauses_and_found_again() -> None:
    world = World()
    async with line_of(world, **REGISTERED) as line:
        await world.time.advance(33_000)
        assert (line.state.is_registered, line.state.last_error) == (False, "no answer")
        await world.time.advance(600_000)
        attempts = {message.cseq for message in world.carried}
        assert 4 <= len(attempts) <= 12
        peer = Script(world)
        peer.react = lambda request: peer.respond(request, 200)
        await world.time.advance(300_000)
        assert (line.state.is_registered, line.state.last_error) == (True, None)
    assert peer.request("REGISTER").get("Expires") == "0"


async def test_an_interval_that_is_too_short_is_lengthened() -> None:
    world = World()
    peer = Script(world)
    async with line_of(world, **REGISTERED) as line:
        _answer(peer, 423, ("Min-Expires", "3600"))
        await world.time.advance(10)
        assert _answer(peer, 200, ("Expires", "3600")).get("Expires") == "3600"
        await world.time.advance(10)
        assert line.state.is_registered is True


async def test_a_refusal_is_told() -> None:
    world = World()
    peer = Script(world)
    async with line_of(world, **REGISTERED) as line:
        _answer(peer, 403)
        await world.time.advance(10)
        assert (line.state.is_registered, line.state.last_error) == (False, "403 Forbidden")


async def test_pings_tell_whether_the_trunk_answers() -> None:
    world = World()
    peer = Script(world)
    async with line_of(world, pings_every="PT30S") as line:
        peer.respond(peer.request("OPTIONS"), 404)
        await world.time.advance(10)
        assert (line.state.is_reachable, line.state.is_registered) == (True, None)
        await world.time.advance(63_000)
        assert (line.state.is_reachable, line.state.last_error) == (False, "no answer")


async def test_calls_start_no_faster_than_allowed() -> None:
    world = World()
    async with line_of(world, calls_per_second=2.0, max_calls=100) as line:
        started: list[float] = []

        async def start() -> None:
            await line.turn()
            started.append(round(world.time.time(), 1))

        begin = round(world.time.time(), 1)
        for _ in range(4):
            line._agent.spawn(start())
        await world.time.advance(5_000)
        assert [round(at - begin, 1) for at in started] == [0.0, 0.5, 1.0, 1.5]
        line._next_start = world.time.time() + 6
        with pytest.raises(CarrierRejectedError):
            await line.turn()


def test_a_trunk_that_contradicts_itself_is_refused() -> None:
    for fields in (
        {"registers": True},
        {"inbound": "digest"},
        {"srtp": "required"},
        {"host": "a b"},
        {"username": "a\r\nb"},
        {"calls_per_second": 0},
    ):
        with pytest.raises(ValueError, match="validation error"):
            Trunk.model_validate({"name": "x", "host": "h", **fields})
    trunk = Trunk.model_validate({"name": "x", "host": "h", **REGISTERED})
    assert "secret" not in repr(trunk)
    assert str(trunk.uri("+1202")) == "sip:+1202@h"
