"""SIP messages as values: built once, not changed afterwards."""

from collections.abc import Iterable
from functools import cached_property
from http import HTTPStatus
from typing import Self

from call_service.carriers.sip.syntax import NameAddr, SipSyntaxError, Via, number, split

Header = tuple[str, str]
Headers = tuple[Header, ...]

MAX_CSEQ = 2**31 - 1

_LONG_NAMES = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "call-id": "Call-ID",
    "cseq": "CSeq",
    "www-authenticate": "WWW-Authenticate",
    "mime-version": "MIME-Version",
    "min-se": "Min-SE",
    "rack": "RAck",
    "rseq": "RSeq",
}
_REASONS = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    408: "Request Timeout",
    420: "Bad Extension",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    500: "Server Internal Error",
    503: "Service Unavailable",
    600: "Busy Everywhere",
    603: "Decline",
}


def canonical(name: str) -> str:
    """A header's name as the RFCs write it, also from its compact form: some peers match it case-sensitively."""
    lower = name.lower()
    known = _LONG_NAMES.get(lower)
    if known is None:
        known = "-".join(part.capitalize() for part in lower.split("-"))
    return known


def reason_of(status: int) -> str:
    """The phrase for a status."""
    try:
        return _REASONS.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class Message:
    """What requests and responses share. `headers` keep their order and have canonical names."""

    def __init__(self, headers: Iterable[Header], body: bytes = b"") -> None:
        self.headers: Headers = tuple(headers)
        self.body = body

    @property
    def start_line(self) -> str:
        """The first line."""
        raise NotImplementedError

    def get(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for known, value in self.headers if known == name), None)

    def all(self, name: str) -> list[str]:
        """The values of a header that is a list, over all its lines."""
        return [part for known, value in self.headers if known == name for part in split(value, ",") if part]

    def tokens(self, name: str) -> frozenset[str]:
        """The lower-case tokens of a list header."""
        return frozenset(token.lower() for token in self.all(name))

    @cached_property
    def via(self) -> Via:
        """The topmost Via."""
        return Via.parse(split(self._required("Via"), ",")[0])

    @cached_property
    def call_id(self) -> str:
        """The Call-ID."""
        return self._required("Call-ID")

    @cached_property
    def from_(self) -> NameAddr:
        """From."""
        return NameAddr.parse(self._required("From"))

    @cached_property
    def to(self) -> NameAddr:
        """To."""
        return NameAddr.parse(self._required("To"))

    @cached_property
    def cseq(self) -> int:
        """The number of the CSeq."""
        return number(self._required("CSeq").split()[0], MAX_CSEQ)

    @cached_property
    def cseq_method(self) -> str:
        """The method of the CSeq."""
        parts = self._required("CSeq").split()
        if len(parts) != 2:
            raise SipSyntaxError("a malformed CSeq")
        return parts[1]

    @cached_property
    def contact(self) -> NameAddr | None:
        """The first Contact."""
        contacts = self.all("Contact")
        return NameAddr.parse(contacts[0]) if contacts and contacts[0] != "*" else None

    def encode(self) -> bytes:
        """As it goes over the wire, with its Content-Length.

        Raises:
            ValueError: a line break in a value: it would be another header.
        """
        lines = [f"{name}: {value}" for name, value in self.headers]
        head = [self.start_line, *lines, f"Content-Length: {len(self.body)}"]
        if any("\r" in line or "\n" in line for line in head):
            raise ValueError("a header's value contains a line break")
        return "\r\n".join((*head, "", "")).encode("utf-8", "surrogateescape") + self.body

    def _required(self, name: str) -> str:
        value = self.get(name)
        if not value:
            raise SipSyntaxError(f"no {name}")
        return value

    def _other_headers(self, *names: str) -> list[Header]:
        return [header for header in self.headers if header[0] not in names]


class Request(Message):
    """A request."""

    def __init__(self, method: str, uri: str, headers: Iterable[Header], body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.method = method
        self.uri = uri

    @property
    def start_line(self) -> str:
        """RFC 3261, 7.1."""
        return f"{self.method} {self.uri} SIP/2.0"

    def via_added(self, via: Via) -> Self:
        """The request with one more hop on top."""
        return type(self)(self.method, self.uri, (("Via", str(via)), *self.headers), self.body)

    def via_stamped(self, host: str, port: int) -> "Request":
        """The request with its topmost Via stamped with its source."""
        first, *others = [via for name, value in self.headers if name == "Via" for via in split(value, ",")]
        vias = [str(Via.parse(first).seen_from(host, port)), *others]
        return Request(self.method, self.uri, [*(("Via", via) for via in vias), *self._other_headers("Via")], self.body)

    def derived(self, method: str, to: str | None = None) -> "Request":
        """The ACK (of a failure) or CANCEL of this INVITE: same hop, same identifiers (RFC 3261, 9.1, 17.1.1.3)."""
        kept = ("Via", "Route", "From", "Call-ID", "Max-Forwards")
        headers = [header for header in self.headers if header[0] in kept]
        headers += [("To", to or self._required("To")), ("CSeq", f"{self.cseq} {method}")]
        return Request(method, self.uri, headers)


class Response(Message):
    """A response."""

    def __init__(self, status: int, reason: str, headers: Iterable[Header], body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = reason

    @property
    def start_line(self) -> str:
        """RFC 3261, 7.2."""
        return f"SIP/2.0 {self.status} {self.reason}"

    @property
    def is_final(self) -> bool:
        """Not a provisional one."""
        return self.status >= 200

    @property
    def is_success(self) -> bool:
        """A 2xx."""
        return 200 <= self.status < 300


def respond(request: Request, status: int, *, tag: str = "", headers: Headers = (), body: bytes = b"") -> Response:
    """The response to `request` (RFC 3261, 8.2.6); `tag` goes into a To without one."""
    kept = ["Via", "From", "Call-ID", "CSeq"]
    if request.method == "INVITE" and 100 < status < 300:
        kept.append("Record-Route")
    copied = [header for header in request.headers if header[0] in kept]
    to = request.to if request.to.tag or not tag else request.to.tagged(tag)
    return Response(status, reason_of(status), [*copied, ("To", str(to)), *headers], body)


class NoResponse(Response):
    """Stands for what never came: 408 for a time-out, 503 for a transport failure (RFC 3261, 8.1.3.1)."""

    def __init__(self, request: Request, status: int) -> None:
        super().__init__(status, reason_of(status), [header for header in request.headers if header[0] != "Via"])
