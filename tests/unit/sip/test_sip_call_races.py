"""Calls in virtual time: what RFC 3261 says about losing, crossing and repeating messages."""

import asyncio

import pytest

from call_service.carriers.port import (
    Answered,
    Cause,
    DtmfReceived,
    Ended,
    KeysNotSentError,
    LegEvent,
    Ringing,
    TransferFailedError,
)
from call_service.carriers.sip.leg import SipLeg
from call_service.carriers.sip.message import Headers, Request
from call_service.carriers.ticker import Ticker
from tests.support.rtp import Network
from tests.support.rtp import Party as RtpParty
from tests.support.sip_world import CLIENT, OTHER, SDP, SERVER, TRUNK, Party, Script, VirtualFlow, World, placed, taken


async def test_a_200_that_crosses_our_cancel_is_acknowledged_and_hung_up(world: World, us: Party) -> None:
    peer = Script(world)
    leg, events = us.dial()
    await world.time.advance(10)
    invite = peer.request("INVITE")
    peer.respond(invite, 180)
    await world.time.advance(10)
    await leg.hang_up()
    peer.respond(invite, 200, body=SDP)
    await world.time.advance(10)
    assert peer.methods() == ["INVITE", "CANCEL", "ACK", "BYE"]
    peer.respond(peer.request("BYE"), 200)
    peer.respond(peer.request("CANCEL"), 200)
    assert events == [Ringing(), Ended(Cause.LOCAL_HANG_UP, 487)]


async def test_cancel_waits_for_a_provisional_response(world: World, us: Party) -> None:
    peer = Script(world)
    leg, _ = us.dial()
    await world.time.advance(10)
    await leg.hang_up()
    await world.time.advance(600)
    assert "CANCEL" not in peer.methods()
    peer.respond(peer.request("INVITE"), 100)
    await world.time.advance(10)
    assert "CANCEL" in peer.methods()
    peer.respond(peer.request("CANCEL"), 200)
    peer.respond(peer.request("INVITE"), 487)
    await world.time.advance(10)
    assert "ACK" in peer.methods()


async def test_one_of_a_forks_answers_is_the_call_the_others_are_hung_up(world: World, us: Party) -> None:
    peer = Script(world)
    leg, events = us.dial()
    await world.time.advance(10)
    invite = peer.request("INVITE")
    for tag in ("a", "b"):
        peer.respond(invite, 180, tag)
    for tag in ("a", "b", "b"):
        peer.respond(invite, 200, tag, body=SDP)
    await world.time.advance(10)
    acknowledged = [one.to.tag for one in peer.heard if isinstance(one, Request) and one.method == "ACK"]
    assert sorted(acknowledged) == ["a", "b", "b"]
    assert peer.request("BYE").to.tag == "b"
    peer.respond(peer.request("BYE"), 200)
    assert events == [Ringing(), Answered()]
    await leg.hang_up()
    await world.time.advance(10)
    assert peer.request("BYE").to.tag == "a"
    peer.respond(peer.request("BYE"), 200)


async def test_a_repeated_200_gets_its_ack_again(world: World, us: Party) -> None:
    peer, invite, leg, _ = await placed(world, us)
    peer.respond(invite, 200, body=SDP)
    peer.respond(invite, 200, body=SDP)
    await world.time.advance(10)
    assert peer.methods().count("ACK") == 3
    assert len({str(one.via) for one in peer.heard if isinstance(one, Request) and one.method == "ACK"}) == 1
    await leg.hang_up()


async def test_a_silent_host_is_left_for_the_next_one(world: World, us: Party) -> None:
    second = Script(world, OTHER)
    first = Script(world)
    leg, events = us.dial(SERVER, OTHER)
    await world.time.advance(5_000)
    second.respond(second.request("INVITE"), 200, body=SDP)
    await world.time.advance(10)
    assert events == [Answered()]
    first.respond(first.request("INVITE"), 200, body=SDP)
    await world.time.advance(10)
    assert first.methods()[-2:] == ["ACK", "BYE"]
    assert first.request("INVITE").call_id == second.request("INVITE").call_id
    first.respond(first.request("BYE"), 200)
    await leg.hang_up()
    await world.time.advance(10)
    second.respond(second.request("BYE"), 200)


async def test_503_moves_on_and_486_does_not(world: World, us: Party) -> None:
    first, second = Script(world), Script(world, OTHER)
    _, events = us.dial(SERVER, OTHER)
    await world.time.advance(10)
    first.respond(first.request("INVITE"), 503)
    await world.time.advance(10)
    second.respond(second.request("INVITE"), 486)
    await world.time.advance(10)
    assert events == [Ended(Cause.BUSY, 486)]
    assert (first.methods(), second.methods()) == (["INVITE", "ACK"], ["INVITE", "ACK"])


@pytest.mark.parametrize(("before", "final"), [((100,), 408), ((100, 180), 408), ((183,), 503)])
async def test_who_may_have_rung_is_rung_by_no_other_host(
    world: World, us: Party, before: tuple[int, ...], final: int
) -> None:
    first, second = Script(world), Script(world, OTHER)
    _, events = us.dial(SERVER, OTHER)
    await world.time.advance(10)
    for status in (*before, final):
        first.respond(first.request("INVITE"), status)
        await world.time.advance(10)
    assert isinstance(events[-1], Ended)
    assert second.methods() == []


async def test_who_rings_need_not_send_media(world: World, us: Party) -> None:
    peer = Script(world)
    _, events = us.dial()
    await world.time.advance(10)
    peer.respond(peer.request("INVITE"), 180, body=SDP)
    await world.time.advance(10)
    us.media.lose()
    peer.respond(peer.request("INVITE"), 200)
    await world.time.advance(10)
    assert events == [Ringing(), Answered()]
    us.media.lose()
    await world.time.advance(10)
    assert events == [Ringing(), Answered(), Ended(Cause.MEDIA_LOST)]


async def test_who_was_silent_while_it_rang_has_its_time_from_the_answer_on(world: World, us: Party) -> None:
    media = RtpParty(Network(world.time), CLIENT.host, Ticker(world.time)).session
    us.media = media  # type: ignore[assignment]
    peer = Script(world)
    _, events = us.dial()
    await world.time.advance(10)
    peer.respond(peer.request("INVITE"), 180, body=SDP)
    await world.time.advance(14_900)
    peer.respond(peer.request("INVITE"), 200)
    await world.time.advance(14_900)
    assert events == [Ringing(), Answered()]
    await world.time.advance(200)
    assert events == [Ringing(), Answered(), Ended(Cause.MEDIA_LOST)]


async def test_a_call_whose_media_breaks_at_our_side_ends_even_while_it_rings(world: World, us: Party) -> None:
    peer = Script(world)
    _, events = us.dial()
    await world.time.advance(10)
    peer.respond(peer.request("INVITE"), 183, body=SDP)
    await world.time.advance(10)
    us.media.fail()
    await world.time.advance(10)
    assert events == [Ended(Cause.MEDIA_LOST)]
    assert peer.methods() == ["INVITE", "CANCEL"]
    peer.respond(peer.request("CANCEL"), 200)
    peer.respond(peer.request("INVITE"), 487)
    await world.time.advance(10)
    assert us.media.is_closed


async def test_a_call_whose_media_breaks_at_our_side_ends_even_on_hold(world: World, us: Party) -> None:
    peer, invite, _, events = await placed(world, us)
    peer.ask("INVITE", invite, 1, body=SDP + b"a=sendonly\r\n")
    await world.time.advance(10)
    peer.ask("ACK", invite, 1)
    await world.time.advance(10)
    us.media.fail()
    assert events == [Answered(), Ended(Cause.MEDIA_LOST)]


async def test_ringing_ends_at_its_time(world: World, us: Party) -> None:
    peer = Script(world)
    _, events = us.dial(ring_seconds=5)
    await world.time.advance(10)
    peer.respond(peer.request("INVITE"), 180)
    await world.time.advance(5_000)
    assert events == [Ringing(), Ended(Cause.NO_ANSWER, 487)]
    assert "CANCEL" in peer.methods()


async def test_the_answer_is_repeated_until_its_ack_and_then_given_up(world: World, us: Party) -> None:
    them = Party(world, SERVER)
    world.delays = lambda data: () if data.startswith(b"ACK") else (1.0,)
    leg, events = us.dial()
    await world.time.advance(10)
    answered = them.invites[0].answer()
    heard: list[LegEvent] = []
    answered.on_event(heard.append)
    await world.time.advance(31_700)
    assert world.sent("200 INVITE") == 11
    await world.time.advance(2_000)
    assert heard == [Ended(Cause.MEDIA_LOST)]
    assert events == [Answered(), Ended(Cause.CALLEE_HUNG_UP)]
    assert leg.has_ended


async def test_both_hanging_up_at_once_is_no_trouble(world: World, us: Party) -> None:
    them = Party(world, SERVER)
    leg, events = us.dial()
    await world.time.advance(10)
    answered = them.invites[0].answer()
    await world.time.advance(10)
    await leg.hang_up()
    await answered.hang_up()
    await world.time.advance(100)
    assert events == [Answered(), Ended(Cause.LOCAL_HANG_UP)]
    assert (us.media.is_closed, them.media.is_closed, us.ended, them.ended) == (True, True, 1, 1)


async def test_holding_at_once_is_settled_by_waiting(world: World, us: Party) -> None:
    """RFC 3261, 14.1: both get 491 and try again after different times."""
    them = Party(world, SERVER)
    leg, _ = us.dial()
    await world.time.advance(10)
    answered = them.invites[0].answer()
    await world.time.advance(10)
    outcomes: list[bool] = []

    async def hold(held: SipLeg) -> None:
        outcomes.append(await held.hold(held=True))

    us.agent.spawn(hold(leg))
    them.agent.spawn(hold(answered))
    await world.time.advance(10_000)
    assert world.sent("491") == 2
    assert outcomes == [True, True]
    assert us.media.direction == them.media.direction == "inactive"
    await leg.hang_up()
    await world.time.advance(100)


async def test_an_offer_may_come_late(world: World, us: Party) -> None:
    """An INVITE without SDP: our offer goes in the 200, the answer comes in the ACK."""
    peer, invite, leg, _ = await placed(world, us)
    peer.ask("INVITE", invite, 1)
    await world.time.advance(10)
    assert peer.statuses()[-1] == 200
    assert b"m=audio 4000 RTP/AVP 0 8 101" in peer.heard[-1].body
    peer.ask("ACK", invite, 1, body=SDP.replace(b"m=audio 4000", b"m=audio 4600"))
    await world.time.advance(10)
    assert us.media.starts[-1][0] == ("192.0.2.2", 4600)
    await leg.hang_up()


async def test_what_is_out_of_order_or_unknown_is_refused(world: World, us: Party) -> None:
    peer, invite, leg, events = await placed(world, us)
    for method, cseq in (("INFO", 5), ("INFO", 4), ("PUBLISH", 6)):
        peer.ask(method, invite, cseq)
        await world.time.advance(10)
    peer.ask("INVITE", invite, 7, headers=(("Require", "precondition"),), body=SDP)
    await world.time.advance(10)
    peer.ask("INVITE", invite, 8, body=b"v=0\r\nm=audio 1 RTP/AVP 99\r\nc=IN IP4 192.0.2.2\r\n")
    await world.time.advance(10)
    assert [status for status in peer.statuses() if status != 100] == [200, 500, 405, 420, 488]
    assert events == [Answered()]
    await leg.hang_up()


async def test_keys_come_by_info(world: World, us: Party) -> None:
    peer, invite, leg, events = await placed(world, us)
    relay, plain = (("Content-Type", "application/dtmf-relay"),), (("Content-Type", "application/dtmf"),)
    peer.ask("INFO", invite, 1, headers=relay, body=b"Signal=5\r\nDuration=160\r\n")
    peer.ask("INFO", invite, 2, headers=plain, body=b"11")
    peer.ask("INFO", invite, 3, headers=relay, body=b"Signal=!\r\n")
    await world.time.advance(10)
    assert events == [Answered(), DtmfReceived("5"), DtmfReceived("#")]
    assert peer.statuses() == [200, 200, 415]
    await leg.hang_up()


async def test_keys_go_by_info_to_who_knows_no_events(world: World, us: Party) -> None:
    peer, _, leg, _ = await placed(world, us)
    us.media.can_send_dtmf = False
    us.agent.spawn(leg.send_dtmf("1"))
    await world.time.advance(10)
    info = peer.request("INFO")
    assert (info.get("Content-Type"), info.body) == ("application/dtmf-relay", b"Signal=1\r\nDuration=100\r\n")
    peer.respond(info, 200)
    await leg.hang_up()
    with pytest.raises(ValueError, match="keys"):
        await leg.send_dtmf("x")


async def test_keys_by_info_that_the_peer_refuses_are_an_error_and_the_rest_is_not_sent(
    world: World, us: Party
) -> None:
    peer, _, leg, _ = await placed(world, us)
    us.media.can_send_dtmf = False
    pressing = asyncio.create_task(leg.send_dtmf("12"))
    await world.time.advance(10)
    peer.respond(peer.request("INFO"), 415)
    await world.time.advance(10)
    with pytest.raises(KeysNotSentError, match="sip_415"):
        await asyncio.wait_for(pressing, 1)
    assert peer.methods().count("INFO") == 1
    await leg.hang_up()


async def test_media_that_stays_away_ends_the_call_unless_we_are_held(world: World, us: Party) -> None:
    peer, invite, _, events = await placed(world, us)
    peer.ask("INVITE", invite, 1, body=SDP + b"a=sendonly\r\n")
    await world.time.advance(10)
    peer.ask("ACK", invite, 1)
    us.media.lose()
    assert events == [Answered()]
    peer.ask("INVITE", invite, 2, body=SDP)
    await world.time.advance(10)
    peer.ask("ACK", invite, 2)
    await world.time.advance(10)
    us.media.lose()
    await world.time.advance(10)
    assert events == [Answered(), Ended(Cause.MEDIA_LOST)]
    assert "BYE" in peer.methods()


async def test_a_transfer_reports_its_outcome(world: World, us: Party) -> None:
    peer, invite, leg, events = await placed(world, us)
    failures: list[int] = []

    async def transfer() -> None:
        try:
            await leg.transfer("sip:+12025550111@192.0.2.9")
        except TransferFailedError as error:
            failures.append(error.sip_code)

    for cseq, (final, expected) in enumerate([(b"SIP/2.0 486 Busy", 486), (b"", 408), (b"SIP/2.0 200 OK", None)], 1):
        us.agent.spawn(transfer())
        await world.time.advance(10)
        peer.respond(peer.request("REFER"), 202)
        headers = (("Event", "refer"), ("Subscription-State", "terminated;reason=noresource"))
        peer.ask("NOTIFY", invite, cseq, headers=headers, body=final)
        await world.time.advance(10)
        assert failures[-1:] == ([expected] if expected else [408])
    assert events == [Answered(), Ended(Cause.TRANSFERRED)]


async def test_a_dead_peer_of_a_reinvite_ends_the_call(world: World, us: Party) -> None:
    peer, _, leg, events = await placed(world, us)
    us.agent.spawn(_ignoring(leg))
    await world.time.advance(10)
    peer.respond(peer.request("INVITE"), 481)
    await world.time.advance(10)
    assert events == [Answered(), Ended(Cause.MEDIA_LOST)]


async def test_who_is_on_hold_may_send_no_media_for_as_long_as_it_lasts(world: World, us: Party) -> None:
    peer, _, leg, events = await placed(world, us)
    us.agent.spawn(_ignoring(leg))
    await world.time.advance(10)
    peer.respond(peer.request("INVITE"), 200, body=SDP + b"a=recvonly\r\n")
    await world.time.advance(10)
    assert us.media.direction == "sendonly"
    us.media.lose()
    assert events == [Answered()]
    await leg.hang_up()


@pytest.mark.parametrize("is_caller", [True, False])
async def test_a_number_is_transferred_to_within_the_trunks_network(world: World, us: Party, is_caller: bool) -> None:
    if is_caller:
        peer, _, leg, _ = await placed(world, us)
    else:
        peer, leg = await taken(world, us)
    transferring = asyncio.create_task(leg.transfer("+12025550111"))
    await world.time.advance(10)
    refer = peer.request("REFER")
    assert refer.get("Refer-To") == f"<sip:+12025550111@{TRUNK.host}>"
    peer.respond(refer, 202)
    await world.time.advance(10)
    await leg.hang_up()
    await world.time.advance(10)
    with pytest.raises(TransferFailedError):
        await transferring


async def _ignoring(leg: SipLeg) -> None:
    await leg.hold(held=True)


@pytest.mark.parametrize(
    ("uri", "headers", "numbers"),
    [
        ("sip:+12025559999@192.0.2.1", (), ("+12025550199", "+12025559999")),
        ("sip:talkstack@192.0.2.1:5060", (), ("+12025550199", "+12025558888")),
        ("tel:+12025559999", (("P-Asserted-Identity", "<tel:+12025550177>"),), ("+12025550177", "+12025559999")),
    ],
)
async def test_whose_numbers_a_call_is_about(
    world: World, us: Party, uri: str, headers: Headers, numbers: tuple[str, str]
) -> None:
    own: Headers = (
        ("Via", "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKx"),
        ("From", "<sip:+12025550199@192.0.2.2>;tag=a"),
        ("To", "<sip:+12025558888@192.0.2.1>"),
        ("Call-ID", "x"),
        ("CSeq", "1 INVITE"),
    )
    us.agent.received(Request("INVITE", uri, (*own, *headers)).encode(), VirtualFlow(world, CLIENT, SERVER))
    (call,) = us.invites
    assert (call.from_, call.to) == numbers
    call.reject(486)


@pytest.mark.parametrize("body", [b"", b"nonsense", SDP.replace(b"AVP 0 101", b"AVP 18")])
async def test_an_answer_without_common_audio_is_hung_up_and_never_told(world: World, us: Party, body: bytes) -> None:
    peer = Script(world)
    _, events = us.dial()
    await world.time.advance(10)
    peer.respond(peer.request("INVITE"), 200, body=body)
    await world.time.advance(10)
    assert peer.methods() == ["INVITE", "ACK", "BYE"]
    assert events == [Ended(Cause.CARRIER_REJECTED, 488)]
    peer.respond(peer.request("BYE"), 200)


async def test_who_hung_up_is_not_dialled_again_with_credentials(world: World, us: Party) -> None:
    peer = Script(world)
    leg, _ = us.dial()
    await world.time.advance(10)
    invite = peer.request("INVITE")
    peer.respond(invite, 180)
    await world.time.advance(10)
    await leg.hang_up()
    peer.respond(invite, 422, headers=(("Min-SE", "3600"),))
    await world.time.advance(10)
    assert peer.methods().count("INVITE") == 1
    peer.respond(peer.request("CANCEL"), 481)


async def test_a_longer_session_is_agreed_to(world: World, us: Party) -> None:
    peer = Script(world)
    leg, events = us.dial()
    await world.time.advance(10)
    peer.respond(peer.request("INVITE"), 422, headers=(("Min-SE", "3600"),))
    await world.time.advance(10)
    second = peer.request("INVITE")
    assert (second.get("Session-Expires"), second.get("Min-SE"), second.cseq) == ("3600", "3600", 2)
    peer.respond(second, 486)
    await world.time.advance(10)
    assert events == [Ended(Cause.BUSY, 486)]
    assert leg.has_ended
