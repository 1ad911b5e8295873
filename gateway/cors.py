"""Cross-origin requests of browsers (https://fetch.spec.whatwg.org/#http-cors-protocol).

Credentials in the sense of CORS (cookies) are never allowed: our clients send theirs in a header.
"""

from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import hdrs, web
from multidict import CIMultiDict

_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = (
    "Authorization, X-Api-Key, Content-Type, Accept, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Range, "
    "X-Request-Id, traceparent, tracestate"
)
_EXPOSED_HEADERS = (
    "X-Request-Id, RateLimit, RateLimit-Policy, Retry-After, Idempotent-Replayed, ETag, Location, Content-Disposition, "
    "Content-Range, Accept-Ranges, WWW-Authenticate"
)
_MAX_AGE_SECONDS = "7200"  # the most that Chromium honours


class Cors:
    """Decides by the list of allowed origins; `*` allows all."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)
        self._allows_all = "*" in self._origins

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a preflight; None when the request is none."""
        if request.method != hdrs.METH_OPTIONS or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
            return None
        response = web.Response(status=HTTPStatus.NO_CONTENT)
        self.decorate(request, response.headers)
        if hdrs.ACCESS_CONTROL_ALLOW_ORIGIN in response.headers:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = _METHODS
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = _REQUEST_HEADERS
            response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = _MAX_AGE_SECONDS
        return response

    def decorate(self, request: web.Request, headers: "CIMultiDict[str]") -> None:
        """Add what lets a script of an allowed origin read the answer."""
        origin = request.headers.get(hdrs.ORIGIN)
        if not self._allows_all:
            headers.add(hdrs.VARY, hdrs.ORIGIN)
        if origin is None or not (self._allows_all or origin in self._origins):
            return
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*" if self._allows_all else origin
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED_HEADERS
