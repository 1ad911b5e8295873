"""Calls over TCP and TLS: what the loss of a connection means to them, and which connection they need."""

import pytest

from call_service.carriers.port import Cause, Ended
from call_service.carriers.sip.flow import Address, Flow
from call_service.carriers.sip.resolver import Target
from tests.support.sip_world import CLIENT, OTHER, SERVER, TRUNK, Party, Script, VirtualFlow, World, placed, taken


@pytest.mark.parametrize("is_caller", [True, False])
async def test_where_the_connection_of_a_call_is_gone_its_trunks_name_is_looked_for_in_the_certificate(
    world: World, us: Party, monkeypatch: pytest.MonkeyPatch, is_caller: bool
) -> None:
    """A Contact has an address, for which hardly any provider has a certificate (RFC 5922)."""
    leg = (await placed(world, us, "TLS"))[2] if is_caller else (await taken(world, us, "TLS"))[1]
    world.closed.add(SERVER)
    listening = Script(world, Address(SERVER.host, 5061))
    sought: list[Target] = []

    async def flow(target: Target) -> Flow:
        sought.append(target)
        return await world.flow(target)

    monkeypatch.setattr(us, "flow", flow)
    await leg.hang_up()
    await world.time.advance(10)
    assert sought == [Target("TLS", listening.address, TRUNK.host)]
    listening.respond(listening.request("BYE"), 200)


@pytest.mark.parametrize("is_caller", [True, False])
async def test_a_connection_is_needed_as_long_as_a_call_lives_on_it(world: World, us: Party, is_caller: bool) -> None:
    flow = VirtualFlow(world, CLIENT, SERVER, "TCP")
    assert not us.agent.needs(flow)
    if is_caller:
        peer, _, leg, _ = await placed(world, us, "TCP")
    else:
        peer, leg = await taken(world, us, "TCP")
    assert us.agent.needs(flow)
    assert not us.agent.needs(VirtualFlow(world, CLIENT, OTHER, "TCP"))
    await leg.hang_up()
    await world.time.advance(10)
    assert us.agent.needs(flow)
    peer.respond(peer.request("BYE"), 200)
    await world.time.advance(10)
    assert not us.agent.needs(flow)


async def test_a_connection_is_needed_by_what_rings(world: World, us: Party) -> None:
    them = Party(world, SERVER)
    us.dial(transport="TCP")
    await world.time.advance(10)
    assert us.agent.needs(VirtualFlow(world, CLIENT, SERVER, "TCP"))
    assert them.agent.needs(VirtualFlow(world, SERVER, CLIENT, "TCP"))
    them.invites[0].reject(486)
    await world.time.advance(10)
    assert not us.agent.needs(VirtualFlow(world, CLIENT, SERVER, "TCP"))


@pytest.mark.parametrize("status", [100, 180])
async def test_a_connection_lost_after_the_first_answer_rings_no_other_host(
    world: World, us: Party, status: int
) -> None:
    """The callee may be alerted: what becomes of that call nobody can tell, and a second must not ring."""
    first, second = Script(world), Script(world, OTHER)
    _, events = us.dial(SERVER, OTHER, transport="TCP")
    await world.time.advance(10)
    first.respond(first.request("INVITE"), status)
    await world.time.advance(10)
    us.agent.lost(VirtualFlow(world, CLIENT, SERVER, "TCP"))
    await world.time.advance(60_000)
    assert second.methods() == []
    assert events[-1] == Ended(Cause.CARRIER_REJECTED, 503)


async def test_a_connection_lost_before_any_answer_leaves_the_call_to_the_next_host(world: World, us: Party) -> None:
    Script(world)
    second = Script(world, OTHER)
    us.dial(SERVER, OTHER, transport="TCP")
    await world.time.advance(10)
    us.agent.lost(VirtualFlow(world, CLIENT, SERVER, "TCP"))
    await world.time.advance(10)
    assert second.methods() == ["INVITE"]
    second.respond(second.request("INVITE"), 486)
    await world.time.advance(10)
