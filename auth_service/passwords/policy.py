"""Which passwords are refused: the common ones, and those that are about the account (OWASP ASVS 5.0, 6.2.4, 6.2.11).

`common_passwords.txt` holds the 5000 most common ones of at least eight characters in lower case, taken in their order
from zxcvbn's list (MIT licence, Copyright (c) 2016 Daniel Wolf and contributors), without a request to anybody.
"""

from importlib.resources import files

_FILLING = "0123456789 !?.,;:-_+*#$%&/@"


def load_common_passwords() -> frozenset[str]:
    return frozenset((files("auth_service.passwords") / "common_passwords.txt").read_text().split())


def is_guessable(password: str, email: str, name: str, common: frozenset[str]) -> bool:
    """Is it common, about the account or this product (digits and signs around it don't help), or one letter over?"""
    plain, address, person = password.casefold(), email.casefold(), name.casefold()
    own = {address, address.partition("@")[0], person, person.replace(" ", ""), "talkstack"}
    return plain in common or len(set(plain)) < 3 or plain in own or plain.strip(_FILLING) in own
