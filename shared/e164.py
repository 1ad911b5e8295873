"""Phone numbers as pydantic fields: E.164 (https://www.itu.int/rec/T-REC-E.164), checked with `phonenumbers`."""

import re
from typing import Annotated

import phonenumbers
from phonenumbers import ValidationResult
from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_FORM = re.compile(r"\+[0-9]+")
_HINT = "Use E.164, e.g. +14155550123"
_REASONS = {
    ValidationResult.TOO_SHORT: "The number is too short for its country.",
    ValidationResult.TOO_LONG: "The number is too long for its country.",
    ValidationResult.INVALID_LENGTH: "No number of its country has this length.",
    ValidationResult.INVALID_COUNTRY_CODE: "No country has this calling code.",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "The area code is missing.",
}


def _reason(text: str) -> str | None:
    if not text.startswith("+"):
        return f"This is a national format. {_HINT}: a plus and the country code first."
    if not _FORM.fullmatch(text):
        return f"{_HINT}: a plus and digits only, without spaces or punctuation."
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return "No country has this calling code, or the number has too few or too many digits."
    if phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) != text:
        return f"{_HINT}: without the trunk prefix of the national format."
    return _REASONS.get(phonenumbers.is_possible_number_with_reason(number))


def check_e164(text: str) -> str:
    """The number as it came, when its country could have assigned it.

    The check is `is_possible_number`, not `is_valid_number`: the plan of ranges behind the latter ages with the
    installed package, and a number that rings is worse refused than one that doesn't is accepted.

    Raises:
        PydanticCustomError: `invalid_e164`, with the reason.
    """
    reason = _reason(text)
    if reason is not None:
        raise PydanticCustomError("invalid_e164", "{reason}", {"reason": reason})
    return text


E164 = Annotated[
    str,
    AfterValidator(check_e164),
    WithJsonSchema({"type": "string", "pattern": r"^\+[1-9][0-9]{5,14}$", "description": "E.164."}),
]
