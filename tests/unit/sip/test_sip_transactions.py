"""Timers A-K, L and M in virtual time (RFC 3261, 17 and RFC 6026)."""

import errno
import socket
from struct import pack

import pytest

from call_service.carriers.sip.flow import Address, Flow
from call_service.carriers.sip.message import NoResponse, Request, Response, respond
from call_service.carriers.sip.server_transactions import InviteServer
from call_service.carriers.sip.timers import Timers
from call_service.carriers.sip.transactions import Transactions
from call_service.carriers.sip.udp import is_refusal
from call_service.carriers.testing import VirtualTime
from tests.support.sip_world import CLIENT, SERVER, VirtualFlow, World


def _request(method: str, branch: str = "z9hG4bKpeer", cseq: int = 1) -> Request:
    headers = (
        ("From", "<sip:a@192.0.2.1>;tag=a"),
        ("To", "<sip:b@192.0.2.2>"),
        ("Call-ID", "call"),
        ("CSeq", f"{cseq} {'INVITE' if method == 'ACK' else method}"),
    )
    request = Request(method, "sip:b@192.0.2.2", headers)
    return (
        Request(method, request.uri, (("Via", f"SIP/2.0/UDP 192.0.2.1;branch={branch}"), *headers))
        if branch
        else request
    )


class Layer:
    """Transactions over one flow, with the times (ms) of what was sent."""

    def __init__(self, transport: str = "UDP") -> None:
        self.time = VirtualTime()
        self.sent: list[tuple[int, str]] = []
        self.told: list[Response] = []
        self.flow: Flow = VirtualFlow(World(), CLIENT, SERVER, transport)
        self.layer = Transactions(Timers(self.time), self._send, lambda: "branch")

    def _send(self, message: Request | Response, flow: Flow) -> None:
        name = message.method if isinstance(message, Request) else str(message.status)
        self.sent.append((round(self.time.time() * 1000), name))

    def ask(self, method: str) -> Request:
        return self.layer.request(_request(method, ""), self.flow, self.told.append).request

    def answer(self, request: Request, status: int) -> None:
        self.layer.receive_response(respond(request, status, tag="b"))

    def serve(self, request: Request) -> InviteServer:
        transaction = self.layer.serve(request, self.flow)
        assert isinstance(transaction, InviteServer)
        return transaction

    def times(self, name: str) -> list[int]:
        return [at for at, sent in self.sent if sent == name]

    @property
    def statuses(self) -> list[int]:
        return [response.status for response in self.told]


async def test_an_invite_is_repeated_at_doubling_times_and_given_up_at_timer_b() -> None:
    layer = Layer()
    layer.ask("INVITE")
    await layer.time.advance(40_000)
    assert layer.times("INVITE") == [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]
    assert layer.statuses == [408]
    assert isinstance(layer.told[0], NoResponse)
    assert len(layer.layer) == 0


async def test_other_requests_are_repeated_every_four_seconds_at_most() -> None:
    layer = Layer()
    layer.ask("BYE")
    await layer.time.advance(40_000)
    assert layer.times("BYE") == [0, 500, 1_500, 3_500, *range(7_500, 32_000, 4_000)]
    assert layer.statuses == [408]


async def test_a_reliable_transport_repeats_nothing_and_waits_as_long() -> None:
    layer = Layer("TCP")
    layer.ask("INVITE")
    layer.ask("BYE")
    await layer.time.advance(31_900)
    assert (len(layer.sent), layer.statuses) == (2, [])
    await layer.time.advance(200)
    assert layer.statuses == [408, 408]


async def test_a_provisional_response_stops_the_repeating_and_the_giving_up() -> None:
    layer = Layer()
    request = layer.ask("INVITE")
    await layer.time.advance(600)
    layer.answer(request, 180)
    await layer.time.advance(100_000)
    assert layer.times("INVITE") == [0, 500]
    assert layer.statuses == [180]
    assert len(layer.layer) == 1


async def test_a_refused_invite_is_acknowledged_each_time_and_told_once() -> None:
    layer = Layer()
    request = layer.ask("INVITE")
    for _ in range(3):
        layer.answer(request, 486)
    assert (layer.statuses, len(layer.times("ACK"))) == ([486], 3)
    await layer.time.advance(31_900)
    assert len(layer.layer) == 1
    await layer.time.advance(200)
    assert len(layer.layer) == 0


async def test_each_2xx_is_told_until_timer_m() -> None:
    layer = Layer()
    request = layer.ask("INVITE")
    layer.answer(request, 200)
    await layer.time.advance(10_000)
    layer.answer(request, 200)
    layer.answer(request, 486)
    assert (layer.statuses, layer.times("ACK")) == ([200, 200], [])
    await layer.time.advance(22_100)
    assert len(layer.layer) == 0


async def test_a_final_response_is_told_once_and_absorbed_for_timer_k() -> None:
    layer = Layer()
    request = layer.ask("BYE")
    layer.answer(request, 100)
    await layer.time.advance(5_000)
    layer.answer(request, 200)
    layer.answer(request, 200)
    assert layer.statuses == [100, 200]
    await layer.time.advance(4_900)
    assert len(layer.layer) == 1
    await layer.time.advance(200)
    assert len(layer.layer) == 0


async def test_a_refusal_of_ours_is_repeated_until_its_ack() -> None:
    layer = Layer()
    invite = _request("INVITE")
    transaction = layer.serve(invite)
    transaction.respond(respond(invite, 486))
    await layer.time.advance(8_000)
    assert layer.times("486") == [0, 500, 1_500, 3_500, 7_500]
    assert layer.layer.absorb(_request("ACK"))
    await layer.time.advance(4_900)
    assert len(layer.times("486")) == 5
    assert layer.layer.absorb(_request("INVITE"))
    assert len(layer.times("486")) == 5
    await layer.time.advance(200)
    assert len(layer.layer) == 0


async def test_a_refusal_that_is_never_acknowledged_ends_at_timer_h() -> None:
    layer = Layer()
    invite = _request("INVITE")
    layer.serve(invite).respond(respond(invite, 486))
    await layer.time.advance(32_100)
    assert len(layer.layer) == 0


async def test_repeated_requests_get_the_last_answer() -> None:
    layer = Layer()
    invite, bye = _request("INVITE"), _request("BYE", "z9hG4bKother")
    transaction = layer.serve(invite)
    assert layer.layer.absorb(invite)
    assert layer.sent == []
    transaction.respond(respond(invite, 180))
    assert layer.layer.absorb(invite)
    assert len(layer.times("180")) == 2
    served = layer.layer.serve(bye, layer.flow)
    assert served
    served.respond(respond(bye, 200))
    assert layer.layer.absorb(bye)
    assert len(layer.times("200")) == 2
    await layer.time.advance(32_100)
    assert not layer.layer.absorb(bye)


async def test_after_a_2xx_the_invite_is_absorbed_and_the_ack_is_the_dialogs() -> None:
    layer = Layer()
    invite = _request("INVITE")
    transaction = layer.serve(invite)
    transaction.respond(respond(invite, 200))
    transaction.respond(respond(invite, 486))
    assert layer.layer.absorb(invite)
    assert not layer.layer.absorb(_request("ACK"))
    transaction.repeat_success()
    assert [name for _, name in layer.sent] == ["200", "200"]
    await layer.time.advance(32_100)
    transaction.repeat_success()
    assert len(layer.sent) == 2
    assert len(layer.layer) == 0


@pytest.mark.parametrize("branch", ["z9hG4bKx", "old"])
async def test_a_cancel_finds_its_invite_also_without_a_magic_cookie(branch: str) -> None:
    layer = Layer()
    transaction = layer.serve(_request("INVITE", branch))
    assert layer.layer.invite_of(_request("CANCEL", branch)) is transaction
    assert layer.layer.invite_of(_request("CANCEL", "z9hG4bKforeign")) is None


async def test_the_same_invite_by_another_way_is_recognised() -> None:
    layer = Layer()
    invite = _request("INVITE")
    transaction = layer.serve(invite)
    assert layer.layer.is_merged(_request("INVITE", "z9hG4bKother"))
    assert not layer.layer.is_merged(_request("INVITE", "z9hG4bKother", cseq=2))
    transaction.respond(respond(invite, 486))
    await layer.time.advance(32_100)
    assert not layer.layer.is_merged(invite)


async def test_a_lost_flow_fails_what_waits_on_it() -> None:
    layer = Layer()
    layer.ask("INVITE")
    layer.layer.flow_lost(VirtualFlow(World(), CLIENT, Address("192.0.2.9", 5060)))
    assert layer.statuses == []
    layer.layer.flow_lost(layer.flow)
    assert layer.statuses == [503]


async def test_a_refused_datagram_fails_only_what_was_never_answered() -> None:
    """The port may be closed for a moment: of an INVITE that rings, the answer may still come."""
    layer = Layer()
    ringing = layer.ask("INVITE")
    layer.answer(ringing, 180)
    layer.layer.flow_lost(layer.flow)
    assert layer.statuses == [180]
    layer.answer(ringing, 200)
    assert layer.statuses == [180, 200]


async def test_a_closed_connection_fails_also_what_rings() -> None:
    layer = Layer("TCP")
    layer.answer(layer.ask("INVITE"), 180)
    layer.layer.flow_lost(layer.flow)
    assert layer.statuses == [180, 503]


@pytest.mark.parametrize(("level", "kind"), [(socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25)], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    ("number", "is_one"),
    [(errno.ECONNREFUSED, True), (errno.EMSGSIZE, False), (errno.EHOSTUNREACH, False), (errno.ENETUNREACH, False)],
)
def test_which_icmp_errors_say_that_nobody_listens(level: int, kind: int, number: int, is_one: bool) -> None:
    error = pack("=IBBBBII", number, 2, 3, 3, 0, 1_400, 0) + bytes(16)  # struct sock_extended_err and the offender
    assert is_refusal([(level, kind, error)]) is is_one
    assert not is_refusal([(level, 8, error), (level, kind, error[:3])])


@pytest.mark.parametrize(
    ("via", "source", "port"),
    [
        ("UDP 192.0.2.2", "192.0.2.2", 5060),
        ("UDP 192.0.2.2:5070", "192.0.2.2", 5070),
        ("UDP sip.peer.test:5070", "192.0.2.2", 5070),
        ("UDP 192.0.2.2:5070;rport", "192.0.2.2", 40_000),
        ("UDP [2001:db8::2]:5070", "2001:db8::2", 5070),
        ("UDP 10.0.0.2:5070", "8.8.8.8", 40_000),  # behind NAT: it is not reached at the port that it sees itself
        ("TCP 192.0.2.2:5070", "192.0.2.2", 40_000),
    ],
)
def test_where_the_response_goes(via: str, source: str, port: int) -> None:
    """RFC 3261, 18.2.2: many a proxy sends from another port than it listens at, and asks for no `rport`."""
    sent: list[Address] = []
    layer = Transactions(Timers(VirtualTime()), lambda _message, flow: sent.append(flow.peer), lambda: "branch")
    flow = VirtualFlow(World(), CLIENT, Address(source, 40_000), via[:3])
    headers = (("Via", f"SIP/2.0/{via};branch=z9hG4bKpeer"), *_request("OPTIONS", "").headers)
    request = Request("OPTIONS", "sip:b@192.0.2.1", headers).via_stamped(*flow.peer)
    transaction = layer.serve(request, flow)
    assert transaction
    transaction.respond(respond(request, 200, tag="b"))
    assert sent == [Address(source, port)]
    assert transaction.flow == flow
