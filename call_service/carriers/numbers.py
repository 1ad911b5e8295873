"""Phone numbers as trunks write them."""

import re
from urllib.parse import unquote

ANONYMOUS = "anonymous"
MAX_LENGTH = 64

_SEPARATORS = re.compile(r"[-. ()]")
_NUMBER = re.compile(r"(?:\+|00)?([1-9][0-9]{2,14})")


def e164_of(user: str) -> str | None:
    """The number that the user part of a SIP URI names; None when it is none.

    Plus, `00` and bare digits are all taken as international: which country's national format it would be, nobody says.
    """
    digits = _NUMBER.fullmatch(_SEPARATORS.sub("", _plain(user)))
    return f"+{digits[1]}" if digits else None


def caller_of(user: str) -> str:
    """Who calls, as a call shows it: a number, a SIP user's name, or `anonymous` when the number is withheld."""
    name = "".join(filter(str.isprintable, _plain(user)))[:MAX_LENGTH]
    return e164_of(user) or name or ANONYMOUS


def _plain(user: str) -> str:
    """Without URI parameters such as `;phone-context=` (RFC 3966)."""
    return unquote(user).partition(";")[0].strip()
