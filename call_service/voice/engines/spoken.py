"""Text as it should be read aloud, where the synthesis engine would get it wrong.

hibari reads dates, times, money and plain numbers well; it stumbles over addresses of the web and of mail, long
numbers, and the mark-up that language models like to write.
"""

import re

PHONE = re.compile(r"(?<![\w.,$£€])(?:\+?\d{1,3}[ .-]?)?(?:\(\d{2,5}\)[ .-]?)?\d{2,}(?:[ .-]\d{2,})*(?![\w,]*\d)")
MIN_PHONE_DIGITS = 7
CODE = re.compile(r"(?i)\b(code|number|pin|zip|id|order|reference|account)\b(\D{1,6})(\d{4,6})\b")
EMAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
URL = re.compile(r"(?:https?://|www\.)[\w.-]+(?:/[\w./-]*\w)?/?", re.IGNORECASE)
DATE_OR_YEARS = re.compile(r"\d{4}-(?:\d{2}-\d{2}|\d{4})")
MARKUP = re.compile(r"[*_`#~|<>\[\]{}\\]+|[\U0001F000-\U0001FAFF\u2600-\u27BF\uFE0F]")
SYMBOLS = {".": " dot ", "@": " at ", "-": " dash ", "_": " underscore ", "+": " plus ", "/": " slash "}
SPACES = re.compile(r"\s+")


def spoken(text: str) -> str:
    """`text` with e-mail addresses, URLs, phone numbers and codes spelled out and mark-up removed."""
    text = EMAIL.sub(lambda match: _address(match[0]), text)
    text = URL.sub(lambda match: _url(match[0]), text)
    text = CODE.sub(lambda match: f"{match[1]}{match[2]}{' '.join(match[3])}", text)
    text = PHONE.sub(_phone, text)
    return without_markup(text)


def without_markup(text: str) -> str:
    """`text` without the signs that nobody says."""
    return SPACES.sub(" ", MARKUP.sub(" ", text)).strip()


def _address(text: str) -> str:
    return SPACES.sub(" ", "".join(SYMBOLS.get(char, char) for char in text)).strip()


def _url(text: str) -> str:
    return _address(re.sub(r"(?i)^(?:https?://)?(?:www\.)?", "", text).rstrip("/"))


def _phone(match: re.Match[str]) -> str:
    """Digit by digit, with a pause between the groups."""
    text = match[0]
    if sum(char.isdigit() for char in text) < MIN_PHONE_DIGITS or DATE_OR_YEARS.fullmatch(text):
        return text
    groups = re.findall(r"\d+", text)
    if len(groups) == 1 and len(groups[0]) > 4:
        groups = _in_groups(groups[0])
    return ("plus " if text.startswith("+") else "") + ", ".join(" ".join(group) for group in groups)


def _in_groups(digits: str) -> list[str]:
    """As a North American number is grouped: four at the end, threes before it."""
    head, groups = digits[:-4], [digits[-4:]]
    while head:
        head, group = head[:-3], head[-3:]
        groups.insert(0, group)
    return groups
