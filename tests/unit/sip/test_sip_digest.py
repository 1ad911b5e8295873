"""Digest authentication: the RFCs' own examples, what we answer, whom we believe."""

import pytest

from call_service.carriers.sip.digest import Challenger, Credentials, answer, format_digest, parse_digest, response_of
from call_service.carriers.sip.message import Request, Response

CREDENTIALS = Credentials("Mufasa", "Circle of Life")
RFC7616 = {
    "username": "Mufasa",
    "realm": "http-auth@example.org",
    "uri": "/dir/index.html",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "nc": "00000001",
    "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    "qop": "auth",
}


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_rfc_7616(algorithm: str, expected: str) -> None:
    assert response_of({**RFC7616, "algorithm": algorithm}, "Circle of Life", "GET") == expected


def test_the_example_of_rfc_2069_without_qop() -> None:
    fields = {"username": "Mufasa", "realm": "testrealm@host.com", "uri": "/dir/index.html"}
    fields["nonce"] = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
    assert response_of(fields, "CircleOfLife", "GET") == "1949323746fe6a43ef61f9606e7febea"


def _request(*headers: tuple[str, str]) -> Request:
    own = (("From", "<sip:a@h>;tag=1"), ("To", "<sip:b@h>"), ("Call-ID", "x"), ("CSeq", "1 INVITE"))
    return Request("INVITE", "sip:b@h", (*own, *headers), b"body")


def _challenged(*challenges: str, status: int = 401) -> Response:
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return Response(status, "Who?", [(name, text) for text in challenges])


def _answer(request: Request, response: Response, credentials: Credentials = CREDENTIALS) -> dict[str, str]:
    header = answer(request, response, credentials, lambda: "cnonce")
    return parse_digest(header[1]) if header else {}


def test_the_strongest_challenge_is_answered() -> None:
    strong, weak = 'Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"', 'Digest realm="r", nonce="n"'
    given = _answer(_request(), _challenged(weak, strong, 'Digest realm="r", nonce="n", algorithm=SHA-512-256'))
    assert (given["algorithm"], given["qop"], given["nc"]) == ("SHA-256", "auth", "00000001")
    assert given["response"] == response_of(given, "Circle of Life", "INVITE")
    assert "qop" not in _answer(_request(), _challenged(weak))


@pytest.mark.parametrize("algorithm", ["MD5-sess", "SHA-256-sess"])
def test_session_variants_and_body_integrity(algorithm: str) -> None:
    given = _answer(_request(), _challenged(f'Digest realm="r", nonce="n", algorithm={algorithm}, qop="auth-int"'))
    assert given["response"] == response_of(given, "Circle of Life", "INVITE", b"body")
    assert given["response"] != response_of(given, "Circle of Life", "INVITE", b"other")


@pytest.mark.parametrize(
    "challenge",
    [
        'Basic realm="r"',
        'Digest realm="r"',
        'Digest realm="r", nonce="n", algorithm=MD4',
        'Digest realm="r", nonce="n", qop="auth-conf"',
        'Digest realm="r, nonce="n',
    ],
)
def test_what_we_cannot_answer(challenge: str) -> None:
    assert not _answer(_request(), _challenged(challenge))


def test_a_proxy_is_answered_in_its_own_header() -> None:
    header = answer(_request(), _challenged('Digest realm="r", nonce="n"', status=407), CREDENTIALS, lambda: "c")
    assert header
    assert header[0] == "Proxy-Authorization"


def test_a_wrong_password_is_not_tried_again_a_stale_nonce_is() -> None:
    tried = _request(("Authorization", "Digest ..."))
    assert not _answer(tried, _challenged('Digest realm="r", nonce="n"'))
    assert _answer(tried, _challenged('Digest realm="r", nonce="m", stale=TRUE'))


def test_only_the_own_realm_is_answered() -> None:
    mine = Credentials("Mufasa", "x", "mine")
    assert not _answer(_request(), _challenged('Digest realm="other", nonce="n"'), mine)
    assert _answer(_request(), _challenged('Digest realm="mine", nonce="n"'), mine)


def test_quotes_in_values_survive() -> None:
    fields = {"username": 'a"b\\c', "realm": "r, s", "nc": "00000001"}
    assert parse_digest(format_digest(fields)) == fields


class Gate:
    """A challenger on a clock of its own."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.challenger = Challenger("us", b"key", lambda: self.now)

    def proof(self, password: str = "Circle of Life", **changes: str) -> Request:
        _, value = self.challenger.challenge("MD5")[0]
        header = answer(_request(), _challenged(value), Credentials("Mufasa", password), lambda: "c")
        assert header
        return _request(("Authorization", format_digest({**parse_digest(header[1]), **changes})))

    def accepts(self, request: Request) -> bool:
        return self.challenger.accepts(request, "Circle of Life", "MD5")


def test_the_right_password_opens_once() -> None:
    gate = Gate()
    proof = gate.proof()
    assert gate.challenger.username(proof) == "Mufasa"
    assert gate.accepts(proof)
    assert not gate.accepts(proof)


def test_an_old_answer_is_refused() -> None:
    gate = Gate()
    proof = gate.proof()
    gate.now += 61
    assert not gate.accepts(proof)


@pytest.mark.parametrize(
    "changes", [{"nonce": "1000.00"}, {"nonce": "x"}, {"realm": "them"}, {"nc": "zz"}, {"nc": "0"}, {"response": "ü"}]
)
def test_forged_answers_are_refused(changes: dict[str, str]) -> None:
    gate = Gate()
    assert not gate.accepts(gate.proof(**changes))


def test_nothing_and_a_wrong_password_are_refused() -> None:
    gate = Gate()
    assert not gate.accepts(gate.proof("Circle of Death"))
    assert not gate.accepts(_request())
    assert gate.challenger.username(_request()) is None
