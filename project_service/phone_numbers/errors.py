"""What can go wrong with a phone number."""

from shared.errors import ConflictError, NotFoundError


class PhoneNumberNotFoundError(NotFoundError):
    """There is no such phone number."""

    code = "phone_number_not_found"


class PhoneNumberTakenError(ConflictError):
    """This phone number belongs to another project."""

    code = "phone_number_taken"
