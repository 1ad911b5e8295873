"""AssemblyAI's streaming v3: https://www.assemblyai.com/docs/streaming/universal-streaming/message-sequence.

Errors: https://www.assemblyai.com/docs/streaming/common-session-errors-and-closures. Audio messages have to hold 50 ms
at least and come at the pace of the call; sessions are charged until they are terminated.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from call_service.carriers.port import SAMPLE_RATE
from call_service.spoken.languages import is_english
from call_service.vendors.errors import (
    VendorBusyError,
    VendorError,
    VendorKeyError,
    VendorRejectedError,
    VendorUnreachableError,
)
from call_service.vendors.recognition.transcript import Heard

NOT_AUTHORIZED = 1008
_ERRORS: Mapping[int, type[VendorError]] = {
    NOT_AUTHORIZED: VendorKeyError,
    3006: VendorRejectedError,  # an invalid message or parameter
    3007: VendorRejectedError,  # audio messages too short, too long or too fast
    3005: VendorBusyError,  # the server failed
    3008: VendorUnreachableError,  # the session is three hours old
    3009: VendorBusyError,  # too many sessions at once
}


def default_model(language: str) -> str:
    """The one that knows English best, or the one for Spanish, French, German, Italian and Portuguese."""
    return f"universal-streaming-{'english' if is_english(language) else 'multilingual'}"


class AssemblyAiWire:
    """`options` are query parameters, e.g. `keyterms_prompt`."""

    chunk_ms = 60
    flush = '{"type":"ForceEndpoint"}'
    farewell = '{"type":"Terminate"}'
    keep_alive = '{"type":"KeepAlive"}'

    def __init__(self, model: str, options: Mapping[str, Any]) -> None:
        ours = {"speech_model": model, "encoding": "pcm_mulaw", "sample_rate": SAMPLE_RATE}
        # Turns end where we say: its own idea of them is put off as far as it goes.
        wishes = {"end_of_turn_confidence_threshold": 1.0, "max_turn_silence": 10_000}
        self.path = "ws?" + urlencode({**wishes, **options, **ours})

    def read(self, message: Mapping[str, Any]) -> Heard | VendorError | None:
        """A `Turn` with all its words, those that may still change included."""
        match message["type"]:
            case "Turn":
                words = message["words"]
                is_over = bool(message["end_of_turn"])
                text = message["transcript"] if is_over else " ".join(word["text"] for word in words)
                end_ms = int(words[-1]["end"]) if words else 0
                return Heard(int(message["turn_order"]), str(text), end_ms, is_final=is_over, is_flushed=is_over)
            case "Error":
                return self.closed(int(message["error_code"]))
        return None

    def closed(self, code: int) -> VendorError:
        """By the codes of the page on errors."""
        return _ERRORS.get(code, VendorUnreachableError)("stt", f"closed with {code}")
