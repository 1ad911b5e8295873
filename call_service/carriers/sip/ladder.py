"""The SIP messages of one call, for whoever must find out what went wrong. Bounded, without secrets."""

import re
from collections import deque
from dataclasses import dataclass
from datetime import datetime

from call_service.carriers.sip.flow import Address, Flow

MAX_MESSAGES = 100
MAX_MESSAGE_BYTES = 4 * 1024

_SECRETS = re.compile(r"(?im)^((?:Proxy-)?Authorization:).*$|(a=crypto:\d+ \S+ inline:)\S+")


@dataclass(frozen=True, slots=True)
class LadderEntry:
    """One message. `text` has neither digests nor SRTP keys."""

    at: datetime
    is_sent: bool
    transport: str
    local: Address
    peer: Address
    text: str


class Ladder:
    """Keeps the last 100 messages of a call, 4 KiB of each."""

    def __init__(self) -> None:
        self._messages: deque[tuple[datetime, bool, Flow, bytes]] = deque(maxlen=MAX_MESSAGES)

    def add(self, at: datetime, flow: Flow, data: bytes, *, is_sent: bool) -> None:
        """Record a message as it is on the wire."""
        self._messages.append((at, is_sent, flow, data[:MAX_MESSAGE_BYTES]))

    @property
    def entries(self) -> list[LadderEntry]:
        """What was recorded, oldest first."""
        return [
            LadderEntry(at, is_sent, flow.transport, flow.local, flow.peer, _redacted(data))
            for at, is_sent, flow, data in self._messages
        ]


def _redacted(data: bytes) -> str:
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    return _SECRETS.sub(lambda found: f"{found[1] or found[2]} (hidden)", text)
