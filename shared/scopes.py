"""What credentials may do. Access tokens and default API keys may do everything; further keys can be narrowed.

Keys, sessions and the audit log have no scope: managing them takes an access token.
"""

from enum import StrEnum

from shared.errors import ForbiddenError


class Scope(StrEnum):
    """`write` does not include `read`. Projects include their agents, numbers, voices and webhooks."""

    EVERYTHING = "*"
    CALLS_READ = "calls:read"
    CALLS_WRITE = "calls:write"
    PROJECTS_READ = "projects:read"
    PROJECTS_WRITE = "projects:write"
    ACCOUNT_READ = "account:read"
    ACCOUNT_WRITE = "account:write"


class InsufficientScopeError(ForbiddenError):
    """These credentials lack the scope that this endpoint needs."""

    code = "insufficient_scope"

    def __init__(self, scope: Scope | None = None) -> None:
        """The challenge is the one of RFC 6750, 3.1."""
        if scope is None:
            super().__init__()
            return
        challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
        message = f"These credentials lack the scope {scope}, which this endpoint needs."
        super().__init__(message, headers={"WWW-Authenticate": challenge})


def require(scope: Scope, scopes: tuple[str, ...]) -> None:
    """Raises InsufficientScopeError, naming `scope`, when `scopes` do not grant it."""
    if Scope.EVERYTHING not in scopes and scope not in scopes:
        raise InsufficientScopeError(scope)
