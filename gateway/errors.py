"""What only the gateway answers."""

from shared.errors import ApiError


class SlowRequestError(ApiError):
    """The body of the request did not arrive in time."""

    code = "request_timeout"
    status = 408
