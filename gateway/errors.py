"""What only the gateway answers."""

from shared.errors import ApiError, BadGatewayError, BodyTooLargeError, InvalidRequestError


class SlowRequestError(ApiError):
    """The request did not arrive in time."""

    code = "request_timeout"
    status = 408


class MalformedRequestError(InvalidRequestError):
    """This is no valid HTTP request."""

    code = "malformed_request"


class GoneError(ApiError):
    """What was asked for is no longer kept; start again without a cursor."""

    code = "gone"
    status = 410


class HeadTooLargeError(BodyTooLargeError):
    """The request line or a header is longer than 8190 bytes, or there are too many headers."""

    code = "head_too_large"
    status = 431


class InternalTokenRefusedError(BadGatewayError):
    """The service refused the gateway's own token: the clock of one of them is wrong, or their secrets differ."""

    code = "internal_token_refused"
