"""What the audit log records."""

from enum import StrEnum


class Action(StrEnum):
    """Facts about an account that its owner, or an investigation, may want to see."""

    SIGNED_UP = "account.signed_up"
    EMAIL_VERIFIED = "account.email_verified"
    CODE_REQUESTED = "account.code_requested"
    LOGGED_IN = "session.started"
    LOGIN_FAILED = "session.refused"
    LOGGED_OUT = "session.ended"
    CREDENTIALS_CHANGED = "account.password_changed"
    RESET_REQUESTED = "account.password_reset_requested"
    CREDENTIALS_RESET = "account.password_reset"
    API_KEY_CREATED = "api_key.created"
    API_KEY_REVOKED = "api_key.revoked"
