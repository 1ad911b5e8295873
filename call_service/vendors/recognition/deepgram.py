"""Deepgram's live transcription: https://developers.deepgram.com/reference/speech-to-text/listen-streaming.

Used of it: interim results, `speech_final` and `UtteranceEnd` (https://developers.deepgram.com/docs/utterance-end),
`Finalize` (…/docs/finalize), `KeepAlive` (…/docs/audio-keep-alive), `CloseStream` (…/docs/close-stream).
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from call_service.carriers.port import SAMPLE_RATE
from call_service.vendors.errors import VendorBusyError, VendorError, VendorRejectedError, VendorUnreachableError
from call_service.vendors.recognition.transcript import Heard

POLICY_VIOLATION, SERVER_ERROR = 1008, 1011


class DeepgramWire:
    """`options` are query parameters, e.g. `keyterm` or `smart_format`."""

    chunk_ms = 20
    flush = '{"type":"Finalize"}'
    farewell = '{"type":"CloseStream"}'
    keep_alive = '{"type":"KeepAlive"}'

    def __init__(self, model: str, language: str, options: Mapping[str, Any]) -> None:
        ours = {
            "model": model,
            "encoding": "mulaw",
            "sample_rate": SAMPLE_RATE,
            "channels": 1,
            "interim_results": "true",
        }
        wishes = {"language": language, "punctuate": "true", "endpointing": 300, "utterance_end_ms": 1000}
        self.path = "listen?" + urlencode({**wishes, **options, **ours})

    def read(self, message: Mapping[str, Any]) -> Heard | VendorError | None:
        """`Results` of one stretch of audio, told by where it starts; the last word tells where it ends."""
        match message["type"]:
            case "Results":
                return self._results(message)
            case "UtteranceEnd":
                return Heard(-1, "", 0, is_final=True)
            case "Error":
                return VendorBusyError("stt")
        return None

    def _results(self, message: Mapping[str, Any]) -> Heard:
        best = message["channel"]["alternatives"][0]
        words = best.get("words") or [{"end": message["start"] + message["duration"]}]
        return Heard(
            round(message["start"] * 1000),
            str(best["transcript"]).strip(),
            round(words[-1]["end"] * 1000),
            is_final=bool(message["is_final"]),
            is_flushed=bool(message.get("from_finalize")),
        )

    def closed(self, code: int) -> VendorError:
        """1008: audio that can't be decoded; 1011: no audio came, or it is overloaded."""
        if code == POLICY_VIOLATION:
            return VendorRejectedError("stt", f"closed with {code}")
        if code == SERVER_ERROR:
            return VendorBusyError("stt", f"closed with {code}")
        return VendorUnreachableError("stt", f"closed with {code}")
