"""From bytes to messages, and the other way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call_service.carriers.sip.message import NoResponse, Request, Response, respond
from call_service.carriers.sip.parser import MAX_BODY_BYTES, MAX_HEAD_BYTES, StreamParser, parse
from call_service.carriers.sip.syntax import SipSyntaxError

# After RFC 4475, 3.1.1.1: compact forms, folding, odd spacing and case, lists over several lines.
TORTURE = (
    b"""INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0
TO :
 sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n
from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.ndaksdj@192.0.2.1
Content-Length   : 150
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;branch=390skdjuw
s :
NewFangledHeader:   newfangled value
 continued newfangled value
UnknownHeaderWithUnusualValue: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:services.example.com;lr;unknownwith=value;unknown-no-value>
v:  SIP  / 2.0  / TCP     spindle.example.com   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33

""".replace(b"\n", b"\r\n")
    + b"v" * 150
)

PLAIN = (
    b"OPTIONS sip:us@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1;rport\r\n"
    b"From: <sip:a@192.0.2.2>;tag=1\r\nTo: <sip:us@192.0.2.1>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n"
    b"Max-Forwards: 70\r\nContent-Length: 4\r\n\r\nbody"
)


def test_the_torture_message_is_understood() -> None:
    message = parse(TORTURE)
    assert isinstance(message, Request)
    assert (message.method, message.cseq, message.call_id) == ("INVITE", 9, "wsinv.ndaksdj@192.0.2.1")
    assert (message.from_.display, message.from_.tag, message.to.tag) == ('J Rosenberg \\"', "98asjd8", "1918181833n")
    assert message.via.host == "192.0.2.2"
    assert len(message.all("Via")) == 3
    assert message.contact
    assert message.contact.params["q"] == "0.33"
    assert len(message.body) == 150


def test_what_is_encoded_is_parsed_to_the_same() -> None:
    message = parse(PLAIN)
    again = parse(message.encode())
    assert (again.start_line, again.headers, again.body) == (message.start_line, message.headers, message.body)
    assert message.encode().count(b"Content-Length: 4\r\n") == 1


def test_bytes_that_are_no_text_survive() -> None:
    odd = PLAIN.replace(b"Max-Forwards: 70", b"Subject: \xff\xfe\x80")
    assert b"Subject: \xff\xfe\x80\r\n" in parse(odd).encode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Call-ID: x\r\n", b""),
        (b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE"),
        (b"CSeq: 1 OPTIONS", b"CSeq: 4294967296 OPTIONS"),
        (b"CSeq: 1 OPTIONS", b"CSeq: one OPTIONS"),
        (b"Via: SIP/2.0/UDP", b"Via: HTTP/1.1/UDP"),
        (b"<sip:a@192.0.2.2>", b"<http://a>"),
        (b"Content-Length: 4", b"Content-Length: 5"),
        (b"Content-Length: 4", b"Content-Length: -4"),
        (b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia"),
        (b"Max-Forwards: 70", b"Max-Forwards"),
        (b"Max-Forwards: 70", b"Max Forwards: 70"),
        (b"Max-Forwards: 70", b"Contact: <sip:a@b"),
        (b"Max-Forwards: 70", b"X: " + b"y" * MAX_HEAD_BYTES),
        (b"Max-Forwards: 70\r\n", b"X: y\r\n" * 200),
        (b"Call-ID: x", b"Call-ID: " + b"x" * 300),
        (b"\r\n\r\nbody", b"\r\n"),
    ],
)
def test_what_is_broken_is_refused(old: bytes, new: bytes) -> None:
    assert old in PLAIN
    with pytest.raises(SipSyntaxError):
        parse(PLAIN.replace(old, new))


@given(st.binary(max_size=400))
def test_nothing_but_a_syntax_error_is_raised(data: bytes) -> None:
    for text in (data, PLAIN[: len(data)] + data):
        try:
            parse(text)
        except SipSyntaxError:
            continue


@given(st.lists(st.integers(1, 120), min_size=1, max_size=30))
def test_a_stream_is_cut_into_its_messages_however_it_arrives(sizes: list[int]) -> None:
    stream = b"\r\n\r\n" + (PLAIN + b"\r\n") * 4
    parser, found, at, pings = StreamParser(), [], 0, 0
    while at < len(stream):
        size = sizes[at % len(sizes)]
        messages, is_ping = parser.feed(stream[at : at + size])
        found += messages
        pings += is_ping
        at += size
    assert found == [PLAIN] * 4
    assert pings <= 1


def test_a_ping_on_a_stream_is_told() -> None:
    assert StreamParser().feed(b"\r\n\r\n") == ([], True)


@pytest.mark.parametrize(
    "data", [b"x" * MAX_HEAD_BYTES, b"A b\r\n\r\n", b"A\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)]
)
def test_a_stream_without_an_end_is_given_up(data: bytes) -> None:
    with pytest.raises(SipSyntaxError):
        StreamParser().feed(data)


def test_a_line_break_cannot_be_smuggled_into_a_header() -> None:
    request = parse(PLAIN)
    assert isinstance(request, Request)
    with pytest.raises(ValueError, match="line break"):
        respond(request, 200, headers=(("X", "a\r\nContact: <sip:evil@example.com>"),)).encode()


def test_a_response_goes_back_the_way_of_its_request() -> None:
    request = parse(PLAIN.replace(b"Max-Forwards: 70", b"Record-Route: <sip:p;lr>"))
    assert isinstance(request, Request)
    response = respond(request, 200, tag="mine")
    assert (response.get("Via"), response.to.tag, response.reason) == (request.get("Via"), "mine", "OK")
    assert response.get("Record-Route") is None
    assert respond(Request("INVITE", request.uri, request.headers), 180).get("Record-Route") == "<sip:p;lr>"
    assert respond(Request("INVITE", request.uri, request.headers), 486).get("Record-Route") is None
    assert isinstance(parse(response.encode()), Response)
    assert NoResponse(request, 503).status == 503
