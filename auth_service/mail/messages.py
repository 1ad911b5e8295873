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


def sessions_ended(recipient: str, count: int) -> Mail:
    many = "A session of yours was" if count == 1 else f"{count} sessions of yours were"
    text = f"{many} signed out from another session of your Talkstack account.\n\n{_NOT_YOU}\n"
    return Mail(recipient, "Talkstack sessions were signed out", text)


def signed_in_from_new_place(recipient: str, ip: str, user_agent: str) -> Mail:
    where = f"Address: {ip}\nProgram: {user_agent}"
    text = f"Somebody signed in to your Talkstack account from a place it was not used from before.\n\n{where}\n\n"
    return Mail(recipient, "New sign-in to Talkstack", f"{text}{_NOT_YOU}\n")


def api_key_created(recipient: str, name: str, *, replaces_default: bool) -> Mail:
    text = f'An API key ("{name}") was created for your Talkstack account.'
    if replaces_default:
        text += " The default key before it, if there was one, works no longer."
    return Mail(recipient, "A Talkstack API key was created", f"{text}\n\n{_NOT_YOU}\n")


def api_key_revoked(recipient: str, name: str) -> Mail:
    text = f'An API key ("{name}") of your Talkstack account was revoked; it works no longer.'
    return Mail(recipient, "A Talkstack API key was revoked", f"{text}\n\n{_NOT_YOU}\n")


def webhook_disabled(recipient: str, url: str, reason: str) -> Mail:
    why = "it answered 410 Gone" if reason == "gone" else "every delivery to it failed for five days"
    text = (
        f"Your webhook {url} was switched off, because {why}.\n\nNothing is lost: set its URL again to switch it on, "
        "and replay what it missed (POST /webhook/replay).\n"
    )
    return Mail(recipient, "A Talkstack webhook was switched off", text)
