"""Keys in INFO requests: `application/dtmf-relay` and `application/dtmf`, for peers without RFC 4733."""

import re

from call_service.carriers.sip.message import Request

CONTENT_TYPE = "application/dtmf-relay"
KEYS = frozenset("0123456789*#ABCD")

_SIGNAL = re.compile(r"^\s*Signal\s*=\s*([0-9A-D*#]{1,2})\s*$", re.IGNORECASE | re.MULTILINE)
_NUMBERED = {"10": "*", "11": "#"}


def info_body(digit: str, key_ms: int) -> bytes:
    """The body that presses `digit`."""
    return f"Signal={digit}\r\nDuration={key_ms}\r\n".encode()


def digit_of(info: Request) -> str | None:
    """The key an INFO presses; None when it is about something else."""
    kind = (info.get("Content-Type") or "").partition(";")[0].strip().lower()
    text = info.body.decode("ascii", "replace")
    if kind == CONTENT_TYPE:
        found = _SIGNAL.search(text)
        text = found[1] if found else ""
    elif kind != "application/dtmf":
        return None
    digit = text.strip().upper()
    digit = _NUMBERED.get(digit, digit)
    return digit if digit in KEYS else None
