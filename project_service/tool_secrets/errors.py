"""What can go wrong with the secrets of tools."""

from shared.errors import ConflictError, NotFoundError, UnprocessableError


class SecretNotFoundError(NotFoundError):
    """This project has no secret with this name."""

    code = "secret_not_found"


class SecretNameError(UnprocessableError):
    """The name of a secret has small letters, digits and underscores, begins with a letter, and at most 40 of them."""

    code = "invalid_name"


class TooManySecretsError(ConflictError):
    """A project may have 50 secrets."""

    code = "too_many_secrets"
