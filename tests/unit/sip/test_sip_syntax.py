"""The grammar of header values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call_service.carriers.sip.syntax import (
    NameAddr,
    SipSyntaxError,
    SipUri,
    Via,
    format_params,
    number,
    parse_params,
    quoted,
    split,
    unquoted,
)

TOKENS = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-_", min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("text", "user", "host", "port", "params"),
    [
        ("sip:alice@example.com", "alice", "example.com", None, {}),
        ("SIPS:bob@[2001:db8::1]:5061;transport=tcp;lr", "bob", "2001:db8::1", 5061, {"transport": "tcp", "lr": None}),
        ("sip:+1202;phone-context=x@h", "+1202;phone-context=x", "h", None, {}),
        ("sip:j%40s0n:secret@example.com", "j@s0n", "example.com", None, {}),
        ("sip:h", "", "h", None, {}),
        ("tel:+1-202-555-0100;ext=1", "+1-202-555-0100", "", None, {"ext": "1"}),
        ("sip:a@h?Replaces=x%3Bto-tag%3D1", "a", "h", None, {}),
    ],
)
def test_uris(text: str, user: str, host: str, port: int | None, params: dict[str, str | None]) -> None:
    uri = SipUri.parse(text)
    assert (uri.user, uri.host, uri.port, uri.params) == (user, host, port, params)


@pytest.mark.parametrize("text", ["", "http://x", "sip:", "sip:a@", "sip:a@h:99999", "sip:a b@h", "sip:<a@h>", "*"])
def test_what_is_no_uri(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        SipUri.parse(text)


def test_uris_are_written_as_they_are_read() -> None:
    for text in ("sip:a@h:5070;lr", "sips:[2001:db8::1]", "sip:+12025550100@example.com;user=phone"):
        assert str(SipUri.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "display", "uri", "tag"),
    [
        ('"A \\"quoted\\" <name>" <sip:a@h;lr>;tag=1', 'A "quoted" <name>', "sip:a@h;lr", "1"),
        ("Bob <sip:b@h>", "Bob", "sip:b@h", ""),
        ("sip:c@h;tag=2", "", "sip:c@h", "2"),
        ("<tel:+1202>;tag=3", "", "tel:+1202", "3"),
    ],
)
def test_addresses(text: str, display: str, uri: str, tag: str) -> None:
    address = NameAddr.parse(text)
    assert (address.display, address.uri, address.tag) == (display, uri, tag)
    assert NameAddr.parse(str(address)) == address


@pytest.mark.parametrize("text", ["", "<", "<>", "a <sip:b@h", '"open <sip:b@h>', "><sip:a@h>"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        NameAddr.parse(text)


def test_a_via_is_stamped_with_where_it_came_from() -> None:
    via = Via.parse("SIP / 2.0 / UDP  first.example.com : 4000 ;branch=z9hG4bK1;rport")
    assert (via.transport, via.host, via.port, via.branch) == ("UDP", "first.example.com", 4000, "z9hG4bK1")
    seen = via.seen_from("192.0.2.9", 1234)
    assert str(seen) == ("SIP/2.0/UDP first.example.com:4000;branch=z9hG4bK1;rport=1234;received=192.0.2.9")
    plain = Via.parse("SIP/2.0/TCP [2001:db8::1];branch=z9hG4bK2")
    assert str(plain.seen_from("2001:db8::1", 5060)) == "SIP/2.0/TCP [2001:db8::1];branch=z9hG4bK2"


def test_lists_are_cut_outside_of_quotes_and_brackets() -> None:
    assert split('"a, b" <sip:x@h?k=1,2>, <sip:y@h>', ",") == ['"a, b" <sip:x@h?k=1,2>', "<sip:y@h>"]


@pytest.mark.parametrize("text", ["-1", "x", "", "1.0", "99999999999", "٣", "71"])
def test_numbers_are_bounded(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        number(text, 70)


@given(st.dictionaries(TOKENS, st.none() | TOKENS, max_size=6))
def test_parameters_survive(params: dict[str, str | None]) -> None:
    assert parse_params(format_params(params)) == params


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_quoting_is_undone(text: str) -> None:
    assert unquoted(quoted(text)) == text


@given(st.text(max_size=200))
def test_nothing_but_a_syntax_error_is_raised(text: str) -> None:
    for parse in (SipUri.parse, NameAddr.parse, Via.parse, parse_params, lambda value: split(value, ",")):
        try:
            parse(text)
        except SipSyntaxError:
            continue
