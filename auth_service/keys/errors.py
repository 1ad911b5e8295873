"""What can go wrong with signing keys."""

from shared.errors import ApiError


class SealedWithAnotherKeyError(ApiError):
    """The signing keys in the database were sealed with another ENCRYPTION_KEY; set the one they were made with."""

    code = "encryption_key_mismatch"
