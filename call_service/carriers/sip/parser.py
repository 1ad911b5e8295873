"""From bytes to messages. Everything is bounded; what is not SIP raises `SipSyntaxError` and nothing else."""

import re

from call_service.carriers.sip.message import Message, Request, Response, canonical
from call_service.carriers.sip.syntax import SipSyntaxError, number

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 64 * 1024
MAX_HEADERS = 128
# What is read as a list later on is looked at once, here.
LISTS = ("Route", "Record-Route", "Via", "Contact", "Allow", "Require", "Supported", "Privacy")

_REQUEST_LINE = re.compile(r"([A-Z][A-Z0-9_.!%*+`'~-]{0,31}) (\S{1,2048}) SIP/2\.0", re.IGNORECASE)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6]\d\d)(?: ([^\r\n]*))?", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
_FOLDED = re.compile(r"\r?\n[ \t]+")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"(?:^|\n)(?:content-length|l)[ \t]*:[ \t]*(\d{1,6})[ \t]*\r?(?:\n|$)", re.IGNORECASE)


def parse(data: bytes) -> Message:
    """The message in a datagram; its mandatory headers (RFC 3261, 8.1.1) are there and well-formed.

    Raises:
        SipSyntaxError: it is malformed, or larger than we take.
    """
    end = _END_OF_HEAD.search(data, 0, MAX_HEAD_BYTES)
    if not end:
        raise SipSyntaxError("no end of the headers")
    message = _parse_head(data[: end.start()])
    body = data[end.end() :]
    declared = message.get("Content-Length")
    length = number(declared, MAX_BODY_BYTES) if declared is not None else len(body)
    if not length <= len(body) <= MAX_BODY_BYTES:
        raise SipSyntaxError("a body of another length than declared")
    message.body = body[:length]
    message.headers = tuple(header for header in message.headers if header[0] != "Content-Length")
    _validate(message)
    return message


def _parse_head(head: bytes) -> Message:
    text = _FOLDED.sub(" ", head.decode("utf-8", "surrogateescape"))
    first, *lines = text.replace("\r\n", "\n").lstrip("\n").split("\n")
    if len(lines) > MAX_HEADERS:
        raise SipSyntaxError("too many headers")
    headers = [_parse_header(line) for line in lines]
    if found := _REQUEST_LINE.fullmatch(first):
        return Request(found[1].upper(), found[2], headers)
    if found := _STATUS_LINE.fullmatch(first):
        return Response(int(found[1]), found[2] or "", headers)
    raise SipSyntaxError("neither a request nor a response")


def _parse_header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    name = name.rstrip()
    if not colon or not _HEADER_NAME.fullmatch(name) or "\r" in value:
        raise SipSyntaxError("a malformed header")
    return canonical(name), value.strip()


def _validate(message: Message) -> None:
    known = (message.via, message.call_id, message.from_, message.to, message.cseq, message.contact)
    for name in LISTS:
        message.all(name)
    method = message.cseq_method
    if isinstance(message, Request) and method != message.method:
        raise SipSyntaxError("the CSeq is of another method")
    if len(known[1]) > 256 or len(message.from_.tag) > 256 or len(message.to.tag) > 256:
        raise SipSyntaxError("an identifier that is too long")


class StreamParser:
    """Cuts a stream (TCP, TLS) into messages by their Content-Length (RFC 3261, 18.3)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> tuple[list[bytes], bool]:
        """Complete messages, and whether a keep-alive came that wants an answer (RFC 5626, 4.4.1).

        Raises:
            SipSyntaxError: the stream can't be understood any more.
        """
        self._buffer += data
        messages, is_ping = [], False
        while self._buffer:
            if self._buffer[:1] in b"\r\n":
                is_ping |= self._buffer.startswith(b"\r\n\r\n")
                stripped = self._buffer.lstrip(b"\r\n")
                self._buffer = stripped
                continue
            size = self._size()
            if size is None or len(self._buffer) < size:
                break
            messages.append(bytes(self._buffer[:size]))
            del self._buffer[:size]
        return messages, is_ping

    def _size(self) -> int | None:
        end = _END_OF_HEAD.search(self._buffer, 0, MAX_HEAD_BYTES)
        if not end:
            if len(self._buffer) >= MAX_HEAD_BYTES:
                raise SipSyntaxError("headers without an end")
            return None
        length = _CONTENT_LENGTH.search(self._buffer, 0, end.start() + 1)
        if not length or int(length[1]) > MAX_BODY_BYTES:
            raise SipSyntaxError("a message on a stream has a Content-Length")
        return end.end() + int(length[1])
