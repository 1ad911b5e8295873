"""SRTP against the vectors of RFC 3711 and against an implementation from its text."""

import hmac
from struct import pack

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from call_service.carriers.rtp import SrtpKeys
from call_service.carriers.rtp.srtp import SrtpContext

KEY = bytes.fromhex("e1f97a0d3e018be0d64fa32c06de4139")
SALT = bytes.fromhex("0ec675ad498afeebb6960b3aabe6")
TAG_80, TAG_32 = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
SSRC = 0xCAFEBABE
HEADER = bytes.fromhex("800f1234decafbadcafebabe")
PACKET = HEADER + b"\xab" * 16


def keystream(key: bytes, counter: int, length: int) -> bytes:
    return Cipher(AES(key), CTR(counter.to_bytes(16))).encryptor().update(bytes(length))


def derive(label: int, length: int) -> bytes:
    """RFC 3711 section 4.3.1 with a key derivation rate of 0."""
    return keystream(KEY, (int.from_bytes(SALT) ^ label << 48) << 16, length)


def protect(header: bytes, payload: bytes, roll_over: int, tag_bytes: int) -> bytes:
    """RFC 3711 sections 4.1.1 and 4.2.1."""
    index = roll_over << 16 | int.from_bytes(header[2:4])
    counter = int.from_bytes(derive(2, 14)) << 16 ^ int.from_bytes(header[8:12]) << 64 ^ index << 16
    stream = keystream(derive(0, 16), counter, len(payload))
    signed = header + bytes(a ^ b for a, b in zip(payload, stream, strict=True))
    tag = hmac.digest(derive(1, 20), signed + pack("!I", roll_over), "sha1")
    return signed + tag[:tag_bytes]


def both(suite: str = TAG_80) -> tuple[SrtpContext, SrtpContext]:
    ours, theirs = KEY + SALT, bytes(range(30))
    return SrtpContext(SrtpKeys(suite, ours, theirs)), SrtpContext(SrtpKeys(suite, theirs, ours))


def test_the_derived_keys_are_those_of_appendix_b_3() -> None:
    assert derive(0, 16).hex().upper() == "C61E7A93744F39EE10734AFE3FF7A087"
    assert derive(2, 14).hex().upper() == "30CBBC08863D8C85D49DB34A9AE1"
    assert derive(1, 20).hex().upper() == "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"


def test_the_keystream_is_that_of_appendix_b_2() -> None:
    key = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")
    counter = int.from_bytes(bytes.fromhex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD")) << 16
    assert keystream(key, counter, 32).hex().upper() == (
        "E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB"
    )


def test_a_protected_packet_is_the_published_one() -> None:
    sender, _ = both()
    assert sender.protect(bytearray(PACKET)).hex() == (
        "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"
    )


@pytest.mark.parametrize(("suite", "tag_bytes"), [(TAG_80, 10), (TAG_32, 4)])
def test_goes_both_ways_over_the_wrap_of_the_sequence_number(suite: str, tag_bytes: int) -> None:
    sender, receiver = both(suite)
    for number in range(65_530, 65_550):
        header = pack("!BBHII", 0x80, 0, number % 65_536, number * 160, SSRC)
        payload = bytes([number % 256]) * 160
        packet = sender.protect(header + payload)
        assert packet == protect(header, payload, number >> 16, tag_bytes)
        assert receiver.open(packet) == header + payload


@pytest.mark.parametrize("is_our_key_new", [False, True])
def test_a_direction_whose_key_stays_goes_on_after_the_wrap(is_our_key_new: bool) -> None:
    """The other one begins anew: its roll-over counter is 0 again."""
    ours, theirs, changed = KEY + SALT, bytes(range(30)), bytes(range(1, 31))
    us, them = both()
    for number in range(65_530, 65_550):
        assert them.open(us.protect(pack("!BBHII", 0x80, 0, number % 65_536, 0, SSRC)))
        assert us.open(them.protect(pack("!BBHII", 0x80, 0, number % 65_536, 0, 7)))
    new = SrtpKeys(TAG_80, changed, theirs) if is_our_key_new else SrtpKeys(TAG_80, ours, changed)
    us.change(new)
    us.change(new)
    them_anew = SrtpContext(SrtpKeys(TAG_80, new.remote, new.local))
    to_them, to_us = pack("!BBHII", 0x80, 0, 20, 0, SSRC), pack("!BBHII", 0x80, 0, 20, 0, 7)
    sent = us.protect(to_them)
    assert [one.open(sent) for one in (them, them_anew)] == ([None, to_them] if is_our_key_new else [to_them, None])
    assert us.open((them if is_our_key_new else them_anew).protect(to_us)) == to_us


def test_forged_replayed_and_foreign_packets_are_refused() -> None:
    sender, receiver = both()
    packet = sender.protect(PACKET)
    assert receiver.open(packet[:-1] + bytes([packet[-1] ^ 1])) is None
    assert receiver.open(packet[:20] + b"!" + packet[21:]) is None
    assert receiver.open(PACKET) is None
    assert receiver.open(b"") is None
    assert receiver.open(packet) == PACKET
    assert receiver.open(packet) is None
    assert sender.open(packet) is None


@pytest.mark.parametrize("suite", [TAG_80, TAG_32])
def test_rtcp_goes_both_ways(suite: str) -> None:
    sender, receiver = both(suite)
    report = bytes.fromhex("80c9000100000007")
    packet = sender.protect_rtcp(report)
    assert len(packet) == len(report) + 4 + 10
    assert receiver.open_rtcp(packet) == report
    assert receiver.open_rtcp(packet) is None
    assert receiver.open_rtcp(report) is None


def test_keys_do_not_show_in_a_log() -> None:
    assert "30" not in repr(SrtpKeys(TAG_80, b"0" * 30, b"0" * 30)).replace(TAG_80, "")
