"""The SIP messages of one call as its carrier records them. Bounded, without secrets."""

import asyncio
import re
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the API process has no SIP
    from call_service.carriers.sip.flow import Flow

Address = tuple[str, int]

MAX_MESSAGES = 100
MAX_MESSAGE_BYTES = 4 * 1024

# Digests (folded ones too), SRTP keys, and what a caller keys in.
_SECRETS = re.compile(
    r"(?im)^((?:Proxy-)?Authorization\s*:).*(?:\n[ \t].*)*|(a=crypto:\d+ \S+ inline:)\S+|^([ \t]*Signal\s*=).*"
)
# An `application/dtmf` body is the key alone; `c` is the short name of the header (RFC 3261 section 7.3.3).
_OF_KEYS = re.compile(r"(?im)^(?:Content-Type|c)[ \t]*:\s*application/dtmf")


@dataclass(frozen=True, slots=True)
class LadderEntry:
    """One message. `text` has no digests, SRTP keys or pressed keys; its lines end with a line feed."""

    at: datetime
    is_sent: bool
    transport: str
    local: Address
    peer: Address
    text: str


class Ladder:
    """Keeps the last 100 messages of a call, 4 KiB of each."""

    def __init__(self) -> None:
        self.is_closed = asyncio.Event()  # no more messages will come
        self._messages: deque[tuple[datetime, bool, Flow, bytes]] = deque(maxlen=MAX_MESSAGES)

    def add(self, at: datetime, flow: "Flow", data: bytes, *, is_sent: bool) -> None:
        """Record a message as it is on the wire."""
        self._messages.append((at, is_sent, flow, data[:MAX_MESSAGE_BYTES]))

    @property
    def entries(self) -> list[LadderEntry]:
        """What was recorded, oldest first."""
        return [
            LadderEntry(at, is_sent, flow.transport, _plain(flow.local), _plain(flow.peer), _redacted(data))
            for at, is_sent, flow, data in self._messages
        ]


def _plain(address: Address) -> Address:
    """A named tuple is not JSON."""
    return (address[0], address[1])


def _redacted(data: bytes) -> str:
    """Without the null characters that Postgres can't keep."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\0", "\ufffd")
    head, end, body = text.partition("\n\n")
    if body and _OF_KEYS.search(head):
        body = "(hidden)\n"
    return _SECRETS.sub(lambda found: f"{found[1] or found[2] or found[3]} (hidden)", head + end + body)
