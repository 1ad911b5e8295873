"""What is known of one request while it is answered."""

from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web

from gateway.limits import Standing
from shared.tokens import Principal

CLIENT_GONE = 499  # as nginx logs it


@dataclass(slots=True)
class Exchange:
    """One request and its answer. `pattern` is the route's, such as `/call/{id}`; `target` is what the service sees.

    `credential` is the id of the session, or the hexadecimal SHA-256 of the API key, that the request came with,
    or that its stream token was made with; `expires_at` is the end of that API key, if it has one.
    """

    client_ip: str = ""
    target: str = ""
    pattern: str | None = None
    upstream: str | None = None
    principal: Principal | None = None
    credential: str | None = None
    expires_at: datetime | None = None
    status: int = CLIENT_GONE
    standings: list[Standing] = field(default_factory=list)


EXCHANGE = web.RequestKey("exchange", Exchange)
