"""Messages of Twilio's Media Streams, which bots of many makes understand.

https://www.twilio.com/docs/voice/media-streams/websocket-messages. Nothing here does I/O.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from call_service.calls.domain import Call
from call_service.carriers.g711 import decode, encode
from call_service.carriers.port import SAMPLE_RATE
from call_service.vendors.errors import VendorProtocolError

CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'
MAX_MARK = 200
PATIENCE_OPTION = "patience_ms"


@dataclass(frozen=True, slots=True)
class Stream:
    """What a bot is told of its call when it begins. `account` is the project."""

    call_id: str
    account: str
    parameters: Mapping[str, str]

    @property
    def id(self) -> str:
        """Of the stream: a call has one."""
        return f"MZ{self.call_id.replace('-', '')}"


def stream_of(call: Call, options: Mapping[str, Any]) -> Stream:
    """The agent's options and the call's variables are parameters of the stream, behind what is known of the call.

    `from_number` and `to_number` are where Pipecat looks for them.
    """
    chosen = {name: _text(value) for name, value in options.items() if name != PATIENCE_OPTION}
    known = {
        "call_id": call.id,
        "agent_id": call.agent_id or "",
        "from_number": call.from_number,
        "to_number": call.to_number,
        "direction": call.direction,
    }
    return Stream(call.id, call.project_id, {**chosen, **call.dynamic_variables, **known})


def _text(value: bool | float | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Writer:
    """Makes the messages to the bot, which are numbered."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._number = 0
        self._chunks = 0

    def start(self) -> str:
        """The call was answered."""
        start = {
            "streamSid": self._stream.id,
            "accountSid": self._stream.account,
            "callSid": self._stream.call_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": SAMPLE_RATE, "channels": 1},
            "customParameters": self._stream.parameters,
        }
        return self._message("start", start)

    def media(self, pcm: bytes, at_ms: int) -> str:
        """What the callee said at `at_ms` of the stream; at 8 kHz."""
        self._chunks += 1
        payload = b64encode(encode(pcm)).decode()
        media = {"track": "inbound", "chunk": str(self._chunks), "timestamp": str(at_ms), "payload": payload}
        return self._message("media", media)

    def dtmf(self, digit: str) -> str:
        """A key was pressed."""
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        """The bot's mark was reached."""
        return self._message("mark", {"name": name})

    def stop(self) -> str:
        """The call is over."""
        return self._message("stop", {"accountSid": self._stream.account, "callSid": self._stream.call_id})

    def _message(self, event: str, content: Mapping[str, Any]) -> str:
        self._number += 1
        message = {"event": event, "sequenceNumber": str(self._number), "streamSid": self._stream.id, event: content}
        return orjson.dumps(message).decode()


@dataclass(frozen=True, slots=True)
class Media:
    """Sound, as PCM at 8 kHz."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """To be sent back once everything before it was played."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """What was not played yet is not to be."""


def read(text: str) -> Media | Mark | Clear | None:
    """A message of the bot; None for what has no meaning here: bots send messages for their own clients too.

    Raises:
        VendorProtocolError: that is none.
    """
    try:
        message = orjson.loads(text)
        match message.get("event"):
            case "media":
                return Media(decode(b64decode(message["media"]["payload"], validate=True)))
            case "mark":
                return Mark(_name_of(message["mark"]["name"]))
            case "clear":
                return Clear()
    except (orjson.JSONDecodeError, Base64Error, LookupError, TypeError, ValueError, AttributeError) as error:
        raise VendorProtocolError("s2s", type(error).__name__) from error
    return None


def _name_of(name: Any) -> str:
    if not isinstance(name, str) or len(name) > MAX_MARK:
        raise ValueError("no name of a mark")
    return name
