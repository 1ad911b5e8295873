"""Which service answers which paths, and with which credentials. The longest pattern that fits a path wins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.paths import PathTree

ServiceName = Literal["auth", "project", "call"]
SERVICES: tuple[ServiceName, ...] = ("auth", "project", "call")


@dataclass(frozen=True, slots=True)
class Route:
    """Everything at and below `pattern`.

    `auth`: `any` needs an access token or an API key, `none` nothing; the service itself refuses API keys where it
    wants a token. `answer_seconds` is how long the service may take to begin its answer. `is_limited`: passwords and
    codes are guessed here, so that it has a rate limit of its own. `is_stream`: a stream token in the query will do.
    """

    pattern: str
    service: ServiceName
    auth: Literal["none", "any"] = "any"
    answer_seconds: float = 30
    is_upload: bool = False
    is_limited: bool = False
    is_stream: bool = False


ROUTES = (
    Route("/.well-known/jwks.json", "auth", auth="none"),
    Route("/auth", "auth", auth="none", is_limited=True),
    Route("/auth/change-password", "auth", is_limited=True),
    Route("/auth/logout", "auth", is_limited=True),
    Route("/user", "auth"),
    Route("/project", "project"),
    Route("/agent", "project"),
    Route("/agent/{agent_id}/documents", "project", answer_seconds=60, is_upload=True),
    Route("/agent/{agentId}/test", "call"),
    Route("/voices", "project"),
    Route("/voices/{voice_id}/preview.wav", "project", auth="none"),
    Route("/phone-number", "project"),
    Route("/webhook", "project"),
    Route("/call", "call"),
    Route("/call/analysis", "call", answer_seconds=90),
    Route("/call/batch-call", "call", answer_seconds=120, is_upload=True),
    Route("/batch", "call"),
    Route("/call/{call_id}/events", "call", is_stream=True),
    Route("/events", "call", is_stream=True),
    Route("/do-not-call", "call"),
    Route("/trunk", "call"),
    Route("/usage", "call"),
)


class RouteTable:
    """Looks routes up by the decoded segments of a path."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._tree: PathTree[Route] = PathTree()
        for route in routes:
            self._tree.add(route.pattern, route)

    def match(self, segments: Sequence[str]) -> Route | None:
        """None: nothing is at this path."""
        return self._tree.longest(segments)
