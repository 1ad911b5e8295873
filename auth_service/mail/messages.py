"""What the mails say."""

from auth_service.mail.port import Mail

_IGNORE = "If you did not ask for it, ignore this mail."
_NOT_YOU = "If this was not you, reset your password now."


def verification_code(recipient: str, code: str) -> Mail:
    text = f"Your Talkstack verification code is {code}\n\nIt is valid for 10 minutes. {_IGNORE}\n"
    return Mail(recipient, "Your Talkstack verification code", text)


def password_reset(recipient: str, token: str, page: str | None, api: str) -> Mail:
    how = (
        f"Choose a new password here:\n\n{page}?token={token}"
        if page
        else f'POST your new password to {api}/auth/reset-password:\n\n{{"token": "{token}", "newPassword": "…"}}'
    )
    text = f"{how}\n\nThis works once, for 30 minutes. {_IGNORE}\n"
    return Mail(recipient, "Reset your Talkstack password", text)


def password_changed(recipient: str) -> Mail:
    text = f"Your Talkstack password was changed, and other sessions were signed out.\n\n{_NOT_YOU}\n"
    return Mail(recipient, "Your Talkstack password was changed", text)


def session_stolen(recipient: str) -> Mail:
    text = (
        "A session of yours was signed out, because its refresh token was used a second time, which happens when "
        f"somebody copied it.\n\n{_NOT_YOU}\n"
    )
    return Mail(recipient, "A Talkstack session was signed out", text)


def api_key_created(recipient: str, name: str) -> Mail:
    text = f'An API key ("{name}") was created for your Talkstack account.\n\n{_NOT_YOU}\n'
    return Mail(recipient, "A Talkstack API key was created", text)
