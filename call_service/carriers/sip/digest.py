"""Digest authentication of SIP: RFC 3261, 22 and RFC 8760 (MD5 and SHA-256, plain and `-sess`)."""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from call_service.carriers.sip.message import Header, Headers, Request, Response
from call_service.carriers.sip.syntax import SipSyntaxError, number, quoted, split, unquoted

Algorithm = Literal["MD5", "SHA-256"]

# Best first; `-sess` hashes the nonces into the first part.
_ALGORITHMS = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}
_ANSWER_HEADERS = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}
NONCE_LIFETIME = timedelta(seconds=60)
MAX_NONCES = 10_000
_UNQUOTED = {"algorithm", "qop", "nc", "stale"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a server's challenge is answered with. A challenge of another `realm` is answered only when it is empty."""

    username: str
    password: str
    realm: str = ""


def parse_digest(value: str) -> dict[str, str]:
    """The parameters of a `Digest` challenge or answer; empty for another scheme."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        return {}
    pairs = (part.partition("=") for part in split(rest, ","))
    return {name.strip().lower(): unquoted(given.strip()) for name, equals, given in pairs if equals}


def format_digest(fields: dict[str, str]) -> str:
    """The inverse of `parse_digest`."""
    return "Digest " + ", ".join(
        f"{name}={value if name in _UNQUOTED else quoted(value)}" for name, value in fields.items()
    )


def response_of(fields: dict[str, str], password: str, method: str, body: bytes = b"") -> str:
    """The `response` value for these fields (RFC 7616, 3.4.1). `KeyError` for an unknown algorithm or missing field."""
    algorithm, _, session = fields.get("algorithm", "MD5").upper().partition("-SESS")
    is_session = fields.get("algorithm", "").upper().endswith("-SESS")
    make = _ALGORITHMS[algorithm + session]

    def digest(*parts: str) -> str:
        return make(":".join(parts).encode("utf-8", "surrogateescape")).hexdigest()

    secret = digest(fields["username"], fields["realm"], password)
    if is_session:
        secret = digest(secret, fields["nonce"], fields["cnonce"])
    qop = fields.get("qop", "")
    what = digest(method, fields["uri"], make(body).hexdigest()) if qop == "auth-int" else digest(method, fields["uri"])
    if qop:
        return digest(secret, fields["nonce"], fields["nc"], fields["cnonce"], qop, what)
    return digest(secret, fields["nonce"], what)


def _strength(challenge: dict[str, str]) -> int:
    """Place in our preference; -1 for what we cannot answer."""
    algorithm = challenge.get("algorithm", "MD5").upper().removesuffix("-SESS")
    offered = {qop.strip() for qop in challenge.get("qop", "").split(",")}
    if (
        algorithm not in _ALGORITHMS
        or not {"realm", "nonce"} <= challenge.keys()
        or not offered & {"", "auth", "auth-int"}
    ):
        return -1
    return 1 + (algorithm == "SHA-256")


def answer(
    challenged: Request, response: Response, credentials: Credentials, cnonce: Callable[[], str]
) -> Header | None:
    """The header that answers the strongest challenge of a 401 or 407; None when none of them can be answered.

    A challenge to a request that carried an answer already is only answered when the nonce was merely stale:
    otherwise the password is wrong and repeating it locks the account.
    """
    asking, answering = _ANSWER_HEADERS[response.status]
    try:
        challenges = [parse_digest(value) for name, value in response.headers if name == asking]
    except SipSyntaxError:
        return None
    usable = [found for found in challenges if _strength(found) >= 0 and credentials.realm in {"", found["realm"]}]
    if not usable:
        return None
    challenge = max(usable, key=_strength)
    if challenged.get(answering) and challenge.get("stale", "").lower() != "true":
        return None
    fields = {"username": credentials.username, "realm": challenge["realm"], "nonce": challenge["nonce"]}
    fields["uri"] = challenged.uri
    if "algorithm" in challenge:
        fields["algorithm"] = challenge["algorithm"]
    if "opaque" in challenge:
        fields["opaque"] = challenge["opaque"]
    offered = [qop.strip() for qop in challenge.get("qop", "").split(",")]
    if offered != [""]:
        fields |= {"qop": "auth" if "auth" in offered else "auth-int", "nc": "00000001"}
    if "qop" in fields or challenge.get("algorithm", "").upper().endswith("-SESS"):
        fields["cnonce"] = cnonce()
    fields["response"] = response_of(fields, credentials.password, challenged.method, challenged.body)
    return answering, format_digest(fields)


class Challenger:
    """Challenges callers and checks their answers; a nonce is good for a minute and each count of it once."""

    def __init__(self, realm: str, secret: bytes, now: Callable[[], float]) -> None:
        self._realm = realm
        self._secret = secret
        self._now = now
        self._counts: OrderedDict[str, int] = OrderedDict()

    def challenge(self, algorithm: Algorithm) -> Headers:
        """The header of a 401. Only one: many clients look at the first, and fail when they do not know it."""
        fields = {"realm": self._realm, "nonce": self._nonce(int(self._now())), "qop": "auth", "algorithm": algorithm}
        return (("WWW-Authenticate", format_digest(fields)),)

    @staticmethod
    def username(request: Request) -> str | None:
        """Whom a request claims to be from; None without an answer to a challenge."""
        value = request.get("Authorization")
        try:
            return parse_digest(value).get("username") if value else None
        except SipSyntaxError:
            return None

    def accepts(self, request: Request, password: str, algorithm: Algorithm) -> bool:
        """Whether the request's answer is right, fresh and not used before."""
        try:
            fields = {**parse_digest(request.get("Authorization") or ""), "algorithm": algorithm}
            expected = response_of(fields, password, request.method, request.body)
            is_right = hmac.compare_digest(expected.encode(), fields["response"].encode("utf-8", "replace"))
            return is_right and fields["realm"] == self._realm and self._is_fresh(fields["nonce"], fields["nc"])
        except (KeyError, ValueError):
            return False

    def _is_fresh(self, nonce: str, count: str) -> bool:
        made = number(nonce.partition(".")[0], 2**32)
        age = self._now() - made
        used = int(count, 16)
        is_own = hmac.compare_digest(nonce.encode("utf-8", "replace"), self._nonce(made).encode())
        if not is_own or age > NONCE_LIFETIME.total_seconds() or used <= self._counts.get(nonce, 0):
            return False
        self._counts[nonce] = used
        if len(self._counts) > MAX_NONCES:
            self._counts.popitem(last=False)
        return True

    def _nonce(self, made: int) -> str:
        return f"{made}." + hmac.new(self._secret, str(made).encode(), hashlib.sha256).hexdigest()[:32]
