"""Routes, sequence numbers and targets of dialogs; session intervals; where names lead."""

from collections import Counter
from random import Random

import pytest

from call_service.carriers.port import Cause, Ended
from call_service.carriers.sip.causes import ended_by
from call_service.carriers.sip.dialog import Dialog
from call_service.carriers.sip.flow import Address
from call_service.carriers.sip.following import referred_call
from call_service.carriers.sip.message import Headers, Request, Response, respond
from call_service.carriers.sip.resolver import Resolver, Service
from call_service.carriers.sip.session_timer import (
    Interval,
    IntervalTooSmallError,
    SessionTimer,
    as_client,
    as_server,
    request_headers,
)
from call_service.carriers.sip.syntax import SipUri
from call_service.carriers.sip.timers import Timers
from call_service.carriers.testing import VirtualTime
from tests.support.sip_world import CLIENT, SERVER, VirtualFlow, World

FLOW = VirtualFlow(World(), CLIENT, SERVER)


def _invite(*headers: tuple[str, str]) -> Request:
    own: Headers = (
        ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"),
        ("From", "<sip:a@192.0.2.1>;tag=a"),
        ("To", "<sip:b@192.0.2.2>"),
        ("Call-ID", "call"),
        ("CSeq", "7 INVITE"),
        ("Contact", "<sip:a@192.0.2.1:5070>"),
    )
    return Request("INVITE", "sip:b@192.0.2.2", (*own, *headers))


def _dialog(*routes: str) -> Dialog:
    headers: Headers = (("Contact", "<sip:b@192.0.2.2:5080>"), *(("Record-Route", route) for route in routes))
    return Dialog.of_caller(_invite(), respond(_invite(), 200, tag="b", headers=headers), FLOW)


def test_a_caller_goes_the_recorded_way_backwards() -> None:
    dialog = _dialog("<sip:p2;lr>", "<sip:p1;lr>")
    bye = dialog.request("BYE")
    assert (bye.uri, bye.all("Route"), bye.cseq) == ("sip:b@192.0.2.2:5080", ["<sip:p1;lr>", "<sip:p2;lr>"], 8)
    assert dialog.next_hop == SipUri.parse("sip:p1;lr")
    assert dialog.request("ACK", cseq=7).cseq == 7


def test_a_strict_router_gets_itself_in_the_request_line() -> None:
    bye = _dialog("<sip:p2;lr>", "<sip:strict>").request("BYE")
    assert (bye.uri, bye.all("Route")) == ("sip:strict", ["<sip:p2;lr>", "<sip:b@192.0.2.2:5080>"])


def test_a_callee_goes_the_recorded_way_forwards() -> None:
    dialog = Dialog.of_callee(_invite(("Record-Route", "<sip:p1;lr>, <sip:p2;lr>")), "b", FLOW)
    bye = dialog.request("BYE")
    assert (bye.uri, bye.all("Route")) == ("sip:a@192.0.2.1:5070", ["<sip:p1;lr>", "<sip:p2;lr>"])
    assert (bye.from_.tag, bye.to.tag) == ("b", "a")
    assert not dialog.is_in_order(_invite())


def test_the_peer_may_move() -> None:
    dialog = _dialog()
    dialog.refresh_target(Response(200, "OK", [("Contact", "<sip:b@192.0.2.9>")]))
    assert dialog.request("BYE").uri == "sip:b@192.0.2.9"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1800;refresher=uas", Interval(1800, is_ours=False)),
        ("1800;refresher=uac", Interval(1800, is_ours=True)),
        ("600", Interval(600, is_ours=True)),
        ("5", Interval(90, is_ours=True)),
        ("x", None),
    ],
)
def test_the_interval_of_an_answer(value: str, expected: Interval | None) -> None:
    assert as_client(Response(200, "OK", [("Session-Expires", value)])) == expected
    assert as_client(Response(200, "OK", [])) is None


def test_the_interval_we_answer_with() -> None:
    timer = ("Supported", "timer")
    assert as_server(_invite(), 1800) == Interval(1800, is_ours=True)
    assert as_server(_invite(("Min-SE", "3600")), 1800) == Interval(3600, is_ours=True)
    assert as_server(_invite(timer, ("Session-Expires", "120;refresher=uac")), 1800) == Interval(120, is_ours=False)
    assert as_server(_invite(timer, ("Session-Expires", "120")), 1800) == Interval(120, is_ours=True)
    with pytest.raises(IntervalTooSmallError):
        as_server(_invite(timer, ("Session-Expires", "30")), 1800)
    assert Interval(120, is_ours=True).headers(as_client=False) == (("Session-Expires", "120;refresher=uas"),)
    assert Interval(120, is_ours=False).headers(as_client=True) == (("Session-Expires", "120;refresher=uas"),)
    assert request_headers(1800, 3600)[0] == ("Session-Expires", "3600")


@pytest.mark.parametrize(("is_ours", "at"), [(True, [50, 68]), (False, [68])])
async def test_a_session_is_refreshed_or_expires(is_ours: bool, at: list[int]) -> None:
    time = VirtualTime()
    happened: list[int] = []

    def note() -> None:
        happened.append(round(time.time()))

    timer = SessionTimer(Timers(time), note, note)
    timer.start(Interval(100, is_ours=is_ours))
    await time.advance(200_000)
    assert happened == at
    timer.start(Interval(100, is_ours=is_ours))
    timer.stop()
    await time.advance(200_000)
    assert happened == at


class Names:
    """Two SRV hosts of the same priority, one behind them, and plain hosts."""

    async def services(self, name: str) -> list[Service]:
        if name != "_sips._tcp.trunk.example":
            return []
        return [Service(20, 0, "late", 5062), Service(10, 90, "heavy", 5061), Service(10, 10, "light", 5061)]

    async def addresses(self, host: str) -> list[str]:
        return {"heavy": ["192.0.2.1"], "light": ["192.0.2.2"], "late": ["192.0.2.3"], "plain": ["192.0.2.4"]}.get(
            host, []
        )


async def test_services_come_by_priority_and_weight() -> None:
    resolver = Resolver(Names(), Random(1), lambda: 0.0)
    first: Counter[str] = Counter()
    for _ in range(1_000):
        targets = await resolver.resolve(SipUri("trunk.example", params={"transport": "tls"}))
        assert targets[-1].address == Address("192.0.2.3", 5062)
        assert {target.name for target in targets} == {"trunk.example"}
        first[targets[0].address.host] += 1
    assert 850 < first["192.0.2.1"] < 950


async def test_a_host_that_failed_is_asked_last_for_a_minute() -> None:
    now = 0.0
    resolver = Resolver(Names(), Random(1), lambda: now)
    uri = SipUri("trunk.example", params={"transport": "tls"})
    for host in ("192.0.2.1", "192.0.2.2"):
        resolver.avoid(Address(host, 5061))
    assert (await resolver.resolve(uri))[0].address.host == "192.0.2.3"
    now = 61.0
    assert (await resolver.resolve(uri))[0].address.host != "192.0.2.3"


@pytest.mark.parametrize(
    ("text", "address", "transport"),
    [
        ("sip:192.0.2.9", ("192.0.2.9", 5060), "UDP"),
        ("sip:[2001:db8::1]:5070;transport=tcp", ("2001:db8::1", 5070), "TCP"),
        ("sips:192.0.2.9", ("192.0.2.9", 5061), "TLS"),
        ("sip:plain", ("192.0.2.4", 5060), "UDP"),
        ("sip:plain:5080;transport=tls", ("192.0.2.4", 5080), "TLS"),
    ],
)
async def test_where_a_uri_leads(text: str, address: tuple[str, int], transport: str) -> None:
    (target,) = await Resolver(Names(), Random(1), lambda: 0.0).resolve(SipUri.parse(text))
    assert (target.address, target.transport) == (address, transport)
    assert await Resolver(Names(), Random(1), lambda: 0.0).resolve(SipUri("nowhere")) == []


@pytest.mark.parametrize(
    ("uri", "name"),
    [("sips:192.0.2.9", "trunk.example"), ("sips:[2001:db8::1]", "trunk.example"), ("sips:plain", "plain")],
)
async def test_a_certificate_is_for_a_name_also_where_the_uri_has_an_address(uri: str, name: str) -> None:
    resolver = Resolver(Names(), Random(1), lambda: 0.0)
    (target,) = await resolver.resolve(SipUri.parse(uri), server_name="trunk.example")
    assert target.name == name


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (486, Cause.BUSY),
        (600, Cause.BUSY),
        (480, Cause.NO_ANSWER),
        (603, Cause.DECLINED),
        (404, Cause.INVALID_NUMBER),
        (484, Cause.INVALID_NUMBER),
        (403, Cause.CARRIER_REJECTED),
        (302, Cause.CARRIER_REJECTED),
        (503, Cause.CARRIER_REJECTED),
    ],
)
def test_what_a_status_means(status: int, cause: str) -> None:
    assert ended_by(status) == Ended(cause, status)


def test_an_attended_transfer_brings_its_replaces_and_nothing_else() -> None:
    target = "sip:c@h?Replaces=x%40y%3Bto-tag%3D1%3Bfrom-tag%3D2&Route=%3Csip%3Aevil%3E"
    assert referred_call(target) == ("sip:c@h", (("Replaces", "x@y;to-tag=1;from-tag=2"),))
    assert referred_call("sip:c@h") == ("sip:c@h", ())
