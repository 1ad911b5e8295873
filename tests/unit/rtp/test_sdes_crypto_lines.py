"""Keys in `a=crypto` lines."""

import base64

import pytest

from call_service.carriers.rtp import CryptoLine, NoCommonCryptoError, choose_crypto, generate_crypto

KEY = bytes(range(30))
ENCODED = base64.b64encode(KEY).decode()
SUITE, SHORT_TAG = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"


@pytest.mark.parametrize(
    "value",
    [
        f"1 {SUITE} inline:{ENCODED}",
        f"1 {SUITE} inline:{ENCODED}|2^31",
        f"1 {SUITE} inline:{ENCODED}|1048576 WSH=128",
        f"  1   {SUITE}  inline:{ENCODED} ",
    ],
)
def test_reads_the_lines_of_the_rfc(value: str) -> None:
    assert CryptoLine.parse(value) == CryptoLine(1, SUITE, KEY)


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"1 {SUITE}",
        f"x {SUITE} inline:{ENCODED}",
        f"1 F8_128_HMAC_SHA1_80 inline:{ENCODED}",
        f"1 {SUITE} uri:{ENCODED}",
        f"1 {SUITE} inline:{ENCODED[:-4]}",
        f"1 {SUITE} inline:{ENCODED}AAAA",
        f"1 {SUITE} inline:not-base64!",
        f"1 {SUITE} inline:{ENCODED}|2^20|1:4",
        f"1 {SUITE} inline:{ENCODED}|1:4",
        f"1 {SUITE} inline:{ENCODED};inline:{ENCODED}",
        f"1 {SUITE} inline:{ENCODED} UNENCRYPTED_SRTP",
        f"1 {SUITE} inline:{ENCODED} KDR=1",
    ],
)
def test_refuses_what_it_cannot_keep(value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        CryptoLine.parse(value)


def test_writes_what_it_reads() -> None:
    line = CryptoLine.generate(3, SHORT_TAG)
    assert CryptoLine.parse(str(line)) == line


def test_keys_are_fresh_and_not_shown() -> None:
    first, second = generate_crypto()
    assert (first.tag, first.suite, second.tag, second.suite) == (1, SUITE, 2, SHORT_TAG)
    assert len({first.key, second.key, *(line.key for line in generate_crypto())}) == 4
    assert str(first.key) not in repr(first)


@pytest.mark.parametrize("suite", [SUITE, SHORT_TAG])
def test_both_ends_agree_whichever_line_is_taken(suite: str) -> None:
    offered, answering = generate_crypto(), generate_crypto()
    taken = [str(line) for line in offered if line.suite == suite]
    ours, keys = choose_crypto(answering, ["7 UNKNOWN inline:x", *taken], is_answer=False)
    _, theirs = choose_crypto(offered, [str(ours)], is_answer=True)
    assert (keys.suite, keys.local, keys.remote) == (theirs.suite, theirs.remote, theirs.local)
    assert keys.suite == suite


def test_an_answer_repeats_the_tag_of_the_offer() -> None:
    offered = CryptoLine(9, SHORT_TAG, KEY)
    ours, _ = choose_crypto(generate_crypto(), [str(offered)], is_answer=False)
    assert (ours.tag, ours.suite) == (9, SHORT_TAG)


@pytest.mark.parametrize("answer", [[], ["1 UNKNOWN inline:x"], [f"2 {SUITE} inline:{ENCODED}"]])
def test_an_answer_to_none_of_our_lines_is_an_error(answer: list[str]) -> None:
    with pytest.raises(NoCommonCryptoError):
        choose_crypto(generate_crypto(), answer, is_answer=True)
