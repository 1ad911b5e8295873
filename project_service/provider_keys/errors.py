"""What can go wrong with the keys of vendors."""

from shared.errors import ConflictError, NotFoundError


class ProviderNotFoundError(NotFoundError):
    """There is no provider with this name."""

    code = "provider_not_found"


class ProviderKeyNotFoundError(NotFoundError):
    """This project has no key for this provider."""

    code = "provider_key_not_found"


class ProviderKeyMissingError(ConflictError):
    """The project lacks a key that the agent's providers need; set it with PUT /project/{projectId}/provider-keys."""

    code = "provider_key_missing"

    def __init__(self, providers: list[str] | None = None) -> None:
        named = f"The project has no key for {', '.join(providers)}, which the agent needs." if providers else None
        super().__init__(named)
