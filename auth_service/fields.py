"""Types of fields that several modules share."""

from datetime import datetime
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field, PlainSerializer, StringConstraints
from pydantic_core import PydanticCustomError

from shared.clock import rfc3339


def _checked(text: str) -> str:
    try:
        # The name server is not asked: a sign-up would wait for it. Domains for tests (RFC 2606) are welcome.
        return validate_email(text, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise PydanticCustomError("invalid_email", "Give a valid e-mail address.") from error


EmailAddress = Annotated[str, Field(max_length=254, json_schema_extra={"format": "email"}), AfterValidator(_checked)]
Moment = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
NewPassword = Annotated[str, Field(min_length=8, max_length=1024)]
Password = Annotated[str, Field(min_length=1, max_length=1024)]
Token = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=512)]


def address_key(email: str) -> str:
    """Two spellings of an address that differ in case are one account."""
    return email.casefold()
