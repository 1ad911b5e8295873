"""Session timers at work (RFC 4028): what keeps a call alive, and what ends it."""

import pytest

from call_service.carriers.port import Answered, Cause, Ended, LegEvent
from call_service.carriers.sip.leg import SipLeg
from call_service.carriers.sip.message import Request
from tests.support.sip_world import SDP, SERVER, Party, Script, World


async def _refreshing(world: World, us: Party, *, allow: str) -> tuple[Script, Request, SipLeg, list[LegEvent]]:
    """A call whose refresh, after 900 s, is our task."""
    peer = Script(world)
    leg, events = us.dial()
    await world.time.advance(10)
    invite = peer.request("INVITE")
    timer = (("Session-Expires", "1800;refresher=uac"), ("Allow", allow))
    peer.respond(invite, 200, headers=timer, body=SDP)
    await world.time.advance(900_010)
    return peer, invite, leg, events


@pytest.mark.parametrize(("allow", "method"), [("INVITE, UPDATE", "UPDATE"), ("INVITE", "INVITE")])
async def test_a_refresh_that_is_refused_for_now_is_tried_again(
    world: World, us: Party, allow: str, method: str
) -> None:
    """Only 408 and 481 end a call (RFC 4028, 10): a proxy that restarts says 503 for a while."""
    peer, _, leg, events = await _refreshing(world, us, allow=allow)
    for _ in range(3):
        peer.respond(peer.request(method), 503)
        await world.time.advance(10_010)
    assert peer.methods().count(method) == 4 + (method == "INVITE")
    body = SDP if method == "INVITE" else b""
    peer.respond(peer.request(method), 200, headers=(("Session-Expires", "1800;refresher=uac"),), body=body)
    await world.time.advance(890_000)
    assert events == [Answered()]
    await leg.hang_up()


@pytest.mark.parametrize("status", [408, 481])
async def test_a_refresh_that_tells_of_no_session_ends_the_call(world: World, us: Party, status: int) -> None:
    peer, _, _, events = await _refreshing(world, us, allow="UPDATE")
    peer.respond(peer.request("UPDATE"), status)
    await world.time.advance(10)
    assert events == [Answered(), Ended(Cause.MEDIA_LOST)]


@pytest.mark.parametrize("status", [405, 501])
async def test_who_refuses_update_is_refreshed_by_invite_from_then_on(world: World, us: Party, status: int) -> None:
    """Some list UPDATE in Allow and do not know it within a call."""
    peer, _, leg, events = await _refreshing(world, us, allow="INVITE, UPDATE")
    peer.respond(peer.request("UPDATE"), status)
    for _ in range(2):
        await world.time.advance(10)
        reinvite = peer.request("INVITE")
        peer.respond(reinvite, 200, headers=(("Session-Expires", "1800;refresher=uac"),), body=SDP)
        await world.time.advance(900_010)
    assert peer.methods().count("UPDATE") == 1
    assert peer.methods().count("INVITE") == 4
    assert events == [Answered()]
    await leg.hang_up()


async def test_what_comes_to_a_refresh_after_the_end_refreshes_nothing(world: World, us: Party) -> None:
    peer, _, leg, _ = await _refreshing(world, us, allow="UPDATE")
    update = peer.request("UPDATE")
    await leg.hang_up()
    peer.respond(update, 500)
    await world.time.advance(10)
    peer.respond(peer.request("BYE"), 200)
    await world.time.advance(100_000)
    assert peer.request("UPDATE").cseq == update.cseq


async def test_a_peer_that_vanishes_is_noticed_by_the_session_timer(world: World, us: Party) -> None:
    them = Party(world, SERVER)
    leg, events = us.dial()
    await world.time.advance(10)
    them.invites[0].answer()
    await world.time.advance(10)
    world.delays = lambda _data: ()
    await world.time.advance(1_800_000)
    assert events == [Answered(), Ended(Cause.MEDIA_LOST)]
    assert leg.has_ended
