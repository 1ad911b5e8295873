"""The grammar of SIP header values (RFC 3261, 25.1): lists, parameters, URIs, addresses, Via."""

import re
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, ip_address
from urllib.parse import unquote

Params = dict[str, str | None]

_URI = re.compile(
    r"(?P<scheme>sips?):(?:(?P<user>[^@<>\"\s]*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
    r"(?::(?P<port>\d{1,5}))?(?P<params>;[^?<>\"\s]*)?(?:\?(?P<headers>[^<>\"\s]*))?",
    re.IGNORECASE,
)
_TEL = re.compile(r"tel:(?P<user>[0-9A-Za-z+*#().-]+)(?P<params>;[^?<>\"\s]*)?", re.IGNORECASE)
_VIA = re.compile(
    r"SIP\s*/\s*2\.0\s*/\s*(?P<transport>[A-Za-z]+)\s+(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
    r"(?:\s*:\s*(?P<port>\d{1,5}))?\s*(?P<params>;.*)?",
    re.IGNORECASE | re.DOTALL,
)
_TOKEN = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
# Tokens, hosts, and what URIs may have in their parameters.
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9.!%*_+`'~:\[\]/&$@-]+")
_DELIMITERS = re.compile(r'["<>,;]')


class SipSyntaxError(ValueError):
    """What came is not SIP."""


def split(text: str, separator: str) -> list[str]:
    """`text` at each `separator` (`,` or `;`) outside of quotes and angle brackets; the parts are stripped."""
    if separator not in text:
        return [text.strip()]
    parts, start, at, depth = [], 0, 0, 0
    while found := _DELIMITERS.search(text, at):
        at = found.end()
        match found[0]:
            case '"' if not depth:
                at = _after_quoted(text, at)
            case "<":
                depth = 1
            case ">":
                depth = 0
            case mark if mark == separator and not depth:
                parts.append(text[start : at - 1].strip())
                start = at
    parts.append(text[start:].strip())
    return parts


def _after_quoted(text: str, at: int) -> int:
    while at < len(text):
        if text[at] == '"':
            return at + 1
        at += 2 if text[at] == "\\" else 1
    raise SipSyntaxError("an unclosed quote")


def unquoted(text: str) -> str:
    """A quoted string without its quotes and escapes; anything else as it is."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def quoted(text: str) -> str:
    """As a quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse_params(text: str) -> Params:
    """`;name=value;flag` as a dict with lower-case names; a flag has the value None."""
    params: Params = {}
    for part in split(text, ";"):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if name and not _TOKEN.fullmatch(name):
            raise SipSyntaxError("a malformed parameter")
        if name:
            params[name] = unquoted(value.strip()) if equals else None
    return params


def format_params(params: Params) -> str:
    """The inverse of `parse_params`."""
    return "".join(f";{name}" if value is None else f";{name}={_value(value)}" for name, value in params.items())


def _value(text: str) -> str:
    return text if _PLAIN_VALUE.fullmatch(text) else quoted(text)


def number(text: str, most: int) -> int:
    """A decimal number of 0..`most`.

    Raises:
        SipSyntaxError: it is none.
    """
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 10) or int(text) > most:
        raise SipSyntaxError("a number out of range")
    return int(text)


def bare_host(host: str) -> str:
    """An address without the brackets of an IPv6 reference."""
    return host.strip("[]")


def uri_host(address: str) -> str:
    """An address or name as it is written in a URI: IPv6 in brackets."""
    try:
        return f"[{address}]" if isinstance(ip_address(address), IPv6Address) else address
    except ValueError:
        return address


@dataclass(frozen=True, slots=True)
class SipUri:
    """A `sip:`, `sips:` or `tel:` URI. `user` is unescaped; `host` has no brackets and is empty for `tel:`."""

    host: str
    user: str = ""
    port: int | None = None
    scheme: str = "sip"
    params: Params = field(default_factory=dict)
    headers: str = ""

    @staticmethod
    def parse(text: str) -> "SipUri":
        """RFC 3261, 19.1 and RFC 3966.

        Raises:
            SipSyntaxError: none of those.
        """
        found = _URI.fullmatch(text) or _TEL.fullmatch(text)
        if not found:
            raise SipSyntaxError("not a SIP URI")
        part = found.groupdict()
        return SipUri(
            bare_host(part.get("host") or "").lower(),
            unquote(part["user"] or "").partition(":")[0],
            number(part["port"], 65_535) if part.get("port") else None,
            (part.get("scheme") or "tel").lower(),
            parse_params(part["params"] or ""),
            part.get("headers") or "",
        )

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port is not None else ""
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{uri_host(self.host)}{port}{format_params(self.params)}{headers}"


def user_of(uri: str) -> str:
    """The user part of a URI; empty for one that is not SIP's."""
    try:
        return SipUri.parse(uri).user
    except SipSyntaxError:
        return ""


@dataclass(frozen=True, slots=True)
class NameAddr:
    """The value of From, To, Contact, Route, Refer-To: a URI as it came, a display name, parameters."""

    uri: str
    display: str = ""
    params: Params = field(default_factory=dict)

    @staticmethod
    def parse(text: str) -> "NameAddr":
        """RFC 3261, 20.10.

        Raises:
            SipSyntaxError: no URI in it.
        """
        if "<" not in text:
            uri, _, params = text.partition(";")
            uri = uri.strip()
            SipUri.parse(uri)
            return NameAddr(uri, "", parse_params(params))
        start = _after_quoted(text, text.index('"') + 1) if text.lstrip().startswith('"') else 0
        opening, closing = text.find("<", start), text.find(">", start)
        if opening < 0 or closing < opening:
            raise SipSyntaxError("unbalanced angle brackets")
        uri = text[opening + 1 : closing].strip()
        SipUri.parse(uri)
        return NameAddr(uri, unquoted(text[:opening].strip()), parse_params(text[closing + 1 :]))

    @property
    def tag(self) -> str:
        """The tag, empty when there is none."""
        return self.params.get("tag") or ""

    def tagged(self, tag: str) -> "NameAddr":
        """The same with another tag."""
        return replace(self, params={**self.params, "tag": tag})

    def __str__(self) -> str:
        display = f"{quoted(self.display)} " if self.display else ""
        return f"{display}<{self.uri}>{format_params(self.params)}"


@dataclass(frozen=True, slots=True)
class Via:
    """One hop (RFC 3261, 20.42). `host` has no brackets."""

    transport: str
    host: str
    port: int | None
    params: Params

    @staticmethod
    def parse(text: str) -> "Via":
        """One Via value.

        Raises:
            SipSyntaxError: it is none.
        """
        found = _VIA.fullmatch(text.strip())
        if not found:
            raise SipSyntaxError("not a Via")
        port = number(found["port"], 65_535) if found["port"] else None
        return Via(found["transport"].upper(), bare_host(found["host"]), port, parse_params(found["params"] or ""))

    @property
    def branch(self) -> str:
        """The branch, empty for RFC 2543."""
        return self.params.get("branch") or ""

    def seen_from(self, host: str, port: int) -> "Via":
        """Stamped with where it really came from (RFC 3261, 18.2.1 and RFC 3581)."""
        params = dict(self.params)
        if "rport" in params:
            params["rport"] = str(port)
        if "rport" in params or host != self.host:
            params["received"] = host
        return replace(self, params=params)

    def __str__(self) -> str:
        port = f":{self.port}" if self.port is not None else ""
        return f"SIP/2.0/{self.transport} {uri_host(self.host)}{port}{format_params(self.params)}"
