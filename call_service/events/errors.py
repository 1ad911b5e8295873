"""What can go wrong with reading events."""

from shared.errors import ApiError, NotFoundError, UnavailableError


class TooManyStreamsError(UnavailableError):
    """This process streams to as many clients as it takes; try again."""

    code = "too_many_streams"


class EventsExpiredError(ApiError):
    """The events behind this cursor are no longer kept; start again without one."""

    code = "events_expired"
    status = 410


class StreamTokenUnusableError(NotFoundError):
    """This stream token is unknown, used, expired or for another stream."""

    code = "stream_token_unusable"


class WebSocketRequiredError(ApiError):
    """This path only speaks WebSocket."""

    code = "websocket_required"
    status = 426

    def __init__(self) -> None:
        super().__init__(headers={"Upgrade": "websocket", "Connection": "Upgrade"})
