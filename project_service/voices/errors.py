"""What can go wrong with a voice."""

from shared.errors import BadGatewayError, NotFoundError, UnavailableError


class VoiceNotFoundError(NotFoundError):
    """There is no voice with this id."""

    code = "voice_not_found"


class PreviewUnavailableError(UnavailableError):
    """The preview could not be rendered; the server needs the `speech` extra (pip install talkstack[speech])."""

    code = "preview_unavailable"
    retry_after_seconds = 30


class VendorVoicesUnavailableError(BadGatewayError):
    """The vendor did not list its voices; POST /project/{projectId}/provider-keys/{provider}/test tells more."""

    code = "vendor_voices_unavailable"
