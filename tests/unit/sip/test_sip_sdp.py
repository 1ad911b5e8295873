"""Offers and answers of G.711 calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call_service.carriers.rtp import generate_crypto
from call_service.carriers.sip.media import Negotiator
from call_service.carriers.sip.sdp import NotAcceptableError, SrtpPolicy, parse_sdp
from call_service.carriers.sip.syntax import SipSyntaxError
from tests.support.sip_world import QuietMedia

HEAD = b"v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n"
PLAIN = HEAD + b"m=audio 4000 RTP/AVP 18 8 0 96\r\na=rtpmap:96 telephone-event/8000\r\n"
KEYS = "".join(f"a=crypto:{line}\r\n" for line in generate_crypto()).encode()
SECURE = HEAD + b"m=audio 4000 RTP/SAVP 0\r\n" + KEYS


def _negotiator(policy: SrtpPolicy = "off") -> tuple[Negotiator, QuietMedia]:
    media = QuietMedia()
    return Negotiator(media, "192.0.2.1", policy, 7), media


def test_an_offer_is_answered_with_its_own_codec_and_numbers() -> None:
    negotiator, media = _negotiator()
    answer = negotiator.answer(PLAIN).decode()
    assert "m=audio 4000 RTP/AVP 8 96\r\n" in answer
    assert "a=rtpmap:96 telephone-event/8000\r\n" in answer
    assert media.starts == [(("192.0.2.2", 4000), "PCMA", None)]


def test_audio_goes_to_no_address_that_is_out_of_bounds() -> None:
    """Neither at first nor after a re-INVITE: a peer could name a host of ours."""
    media = QuietMedia()
    negotiator = Negotiator(media, "192.0.2.1", "off", 7, lambda address: address == "192.0.2.2")
    negotiator.answer(PLAIN)
    for exchange in (negotiator.answer, negotiator.take_answer):
        with pytest.raises(NotAcceptableError):
            exchange(PLAIN.replace(b"192.0.2.2", b"127.0.0.1"))
    negotiator.answer(PLAIN.replace(b"c=IN IP4 192.0.2.2", b"c=IN IP4 0.0.0.0"))
    assert [start[0] for start in media.starts] == [("192.0.2.2", 4000)]


def test_codecs_may_have_other_numbers() -> None:
    negotiator, _ = _negotiator()
    negotiator.answer(HEAD + b"m=audio 4000 RTP/AVP 110\r\na=rtpmap:110 pcmu/8000\r\n")
    assert negotiator.agreed
    assert (negotiator.agreed.codec, negotiator.agreed.payload_type) == ("PCMU", 110)
    assert negotiator.agreed.dtmf_payload_type is None


def test_events_are_sent_with_the_peers_number_and_heard_with_both_when_the_offer_was_ours() -> None:
    """The answer's numbers are for what the answerer receives, the offer's for what we do (RFC 3264, 5.1 and 6.1)."""
    negotiator, media = _negotiator()
    assert b"a=rtpmap:101 telephone-event/8000" in negotiator.offer()
    negotiator.take_answer(PLAIN)
    assert media.events == (96, 101)
    negotiator.answer(PLAIN)
    assert media.events == (96, None)


def test_other_media_are_refused_in_their_place() -> None:
    negotiator, _ = _negotiator()
    offer = HEAD + b"m=video 5000 RTP/AVP 99\r\nm=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/AVP 8\r\n"
    lines = [line for line in negotiator.answer(offer).decode().split("\r\n") if line.startswith("m=")]
    assert lines == ["m=video 0 RTP/AVP 99", "m=audio 4000 RTP/AVP 0", "m=audio 0 RTP/AVP 8"]


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        (b"a=sendonly\r\n", "recvonly"),
        (b"a=recvonly\r\n", "sendonly"),
        (b"a=inactive\r\n", "inactive"),
        (b"a=sendrecv\r\n", "sendrecv"),
        (b"c=IN IP4 0.0.0.0\r\n", "recvonly"),
    ],
)
def test_the_peers_hold_is_mirrored(line: bytes, ours: str) -> None:
    negotiator, media = _negotiator()
    negotiator.answer(PLAIN)
    answer = negotiator.answer(PLAIN + line)
    assert f"a={ours}\r\n".encode() in answer
    assert media.direction == ours
    assert negotiator.is_held_by_peer == (ours in {"recvonly", "inactive"})
    assert all(remote[0] == "192.0.2.2" for remote, _, _ in media.starts)


def test_our_hold_and_resume() -> None:
    negotiator, media = _negotiator()
    negotiator.answer(PLAIN)
    negotiator.is_holding = True
    assert b"a=sendonly\r\n" in negotiator.offer()
    negotiator.take_answer(PLAIN + b"a=recvonly\r\n")
    directions = [media.direction]
    negotiator.take_answer(PLAIN + b"a=inactive\r\n")
    directions.append(media.direction)
    negotiator.is_holding = False
    offer = negotiator.offer()
    assert b"a=sendrecv\r\n" in offer
    negotiator.take_answer(PLAIN)
    assert [*directions, media.direction] == ["sendonly", "inactive", "sendrecv"]


def test_each_description_has_a_higher_version() -> None:
    negotiator, _ = _negotiator()
    versions = [parse_version(negotiator.offer()), parse_version(negotiator.answer(PLAIN))]
    versions.append(parse_version(negotiator.offer()))
    assert versions == sorted(set(versions))


def parse_version(body: bytes) -> int:
    return int(body.split(b"o=- 7 ")[1].split()[0])


def test_keys_are_exchanged_and_kept() -> None:
    caller, caller_media = _negotiator("required")
    callee, callee_media = _negotiator("required")
    caller.take_answer(callee.answer(caller.offer()))
    ours, theirs = caller_media.starts[-1][2], callee_media.starts[-1][2]
    assert ours
    assert theirs
    assert (ours.local, ours.remote) == (theirs.remote, theirs.local)
    caller.take_answer(callee.answer(caller.offer()))
    assert caller_media.starts[-1][2] == ours


@pytest.mark.parametrize(
    ("policy", "offer", "is_encrypted"),
    [
        ("off", PLAIN, False),
        ("optional", PLAIN, False),
        ("optional", SECURE, True),
        ("required", SECURE, True),
        ("off", PLAIN + KEYS, False),
        ("optional", PLAIN + KEYS, True),
        ("required", PLAIN + KEYS, True),
        ("optional", PLAIN + b"m=audio 4100 RTP/SAVP 0\r\n" + KEYS, True),
    ],
)
def test_which_offers_suit_which_policy(policy: SrtpPolicy, offer: bytes, is_encrypted: bool) -> None:
    negotiator, media = _negotiator(policy)
    negotiator.answer(offer)
    assert (media.starts[-1][2] is not None) == is_encrypted


@pytest.mark.parametrize(
    ("policy", "offer"),
    [
        ("required", PLAIN),
        ("off", SECURE),
        ("required", HEAD + b"m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:xx\r\n"),
        ("off", HEAD + b"m=audio 4000 RTP/AVP 18\r\n"),
        ("off", HEAD + b"m=audio 0 RTP/AVP 0\r\n"),
        ("off", HEAD + b"m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\n"),
        ("off", b"v=0\r\nm=audio 4000 RTP/AVP 0\r\n"),
        ("off", b"v=0\r\nc=IN IP4 host.example.com\r\nm=audio 4000 RTP/AVP 0\r\n"),
        ("off", b"nonsense"),
        ("off", b""),
        ("off", HEAD + b"m=audio 4000 RTP/AVP 0\r\n" * 20),
        ("off", HEAD + b"a=x\r\n" * 500),
    ],
)
def test_what_is_not_acceptable(policy: SrtpPolicy, offer: bytes) -> None:
    negotiator, media = _negotiator(policy)
    with pytest.raises(NotAcceptableError):
        negotiator.answer(offer)
    assert media.starts == []


@given(st.binary(max_size=300), st.integers(0, len(PLAIN)))
def test_nothing_but_a_syntax_error_is_raised(noise: bytes, at: int) -> None:
    for body in (noise, PLAIN[:at] + noise + PLAIN[at:]):
        try:
            parse_sdp(body)
        except SipSyntaxError:
            continue
