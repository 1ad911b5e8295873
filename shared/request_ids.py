"""The id that goes with a request through all services."""

import re

from aiohttp import web

from shared.ids import new_id

REQUEST_ID = "X-Request-Id"
_KEY = web.RequestKey("request_id", str)
_FORM = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id(request: web.Request) -> str:
    """The client's own id where it has a sane form, else a new one; always the same for one request."""
    known = request.get(_KEY)
    if known is None:
        given = request.headers.get(REQUEST_ID, "")
        known = request[_KEY] = given if _FORM.fullmatch(given) else new_id()
    return known
