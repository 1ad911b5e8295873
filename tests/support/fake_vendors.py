"""The vendors' real protocols on loopback, after their published pages, with every way in which a vendor fails.

One server is all vendors at once, each below a prefix of its own; `base_urls` has the places.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from math import pi, sin
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from call_service.carriers.g711 import encode
from tests.support.fake_realtime import RealtimeSession, Reply

KEY = "vendor-key-that-is-very-secret-1f3a"
HZ = 8000
# https://developers.deepgram.com/docs/errors, https://elevenlabs.io/docs/api-reference/errors,
# https://docs.anthropic.com/en/api/errors, https://platform.openai.com/docs/guides/error-codes
REFUSED: dict[str, Any] = {
    "deepgram": {"err_code": "INVALID_AUTH", "err_msg": f"Invalid credentials {KEY}", "request_id": "5f0e"},
    "elevenlabs": {"detail": {"status": "invalid_api_key", "message": "Invalid API key"}},
    "cartesia": {"error": "unauthorized"},
    "anthropic": {"type": "error", "error": {"type": "authentication_error", "message": f"invalid x-api-key {KEY}"}},
    "openai": {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key", "param": None}},
}


VOICES: dict[str, Any] = {
    "elevenlabs": {
        "voices": [
            {
                "voice_id": "JBFqnCBsd6RMkjVDRZzb",
                "name": "George",
                "category": "premade",
                "labels": {"accent": "british", "descriptive": "mature", "gender": "male", "use_case": "narration"},
                "preview_url": "https://storage.example/george.mp3",
            }
        ]
    },
    "cartesia": {
        "data": [
            {"id": "694f9389-aac1", "name": "Sarah", "description": "Soothing", "language": "en", "gender": "feminine"}
        ],
        "has_more": False,
    },
    "deepgram": {
        "stt": [{"name": "general", "canonical_name": "nova-3-general", "languages": ["en"]}],
        "tts": [
            {
                "name": "angus",
                "canonical_name": "aura-angus-en",
                "languages": ["en", "en-IE"],
                "metadata": {"accent": "Irish", "sample": "https://static.example/angus.wav"},
            },
            {"name": "bare", "canonical_name": "aura-bare-en"},
        ],
    },
}


class Fault(StrEnum):
    NONE = "none"
    DROP = "drop"
    HANG = "hang"
    DRIBBLE = "dribble"
    CUT = "cut"
    GARBAGE = "garbage"
    BUSY = "429"
    EXPIRED = "expired key"


def tone(seconds: float, hz: int = HZ) -> bytes:
    """PCM16 of a beep."""
    return b"".join(
        round(8000 * sin(2 * pi * 440 * n / hz)).to_bytes(2, "little", signed=True) for n in range(int(seconds * hz))
    )


@dataclass(slots=True)
class FakeVendors:
    fault: Fault = Fault.NONE
    texts: list[str] = field(default_factory=list)
    """What is understood of each utterance that is not silence."""
    reply: list[bytes] = field(default_factory=list)
    """Pieces of the language model's stream."""
    completion: dict[str, Any] = field(default_factory=dict)
    """What it answers without a stream."""
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    open_sockets: int = 0
    url: str = ""
    spoken: list[Reply] = field(default_factory=list)
    """What the model that hears and speaks itself answers with."""
    sessions: list[RealtimeSession] = field(default_factory=list)
    keeps_finals: bool = False
    """What is asked for of a stream comes only by `release`."""
    kept: list[tuple[web.WebSocketResponse, dict[str, Any]]] = field(default_factory=list)

    async def release(self) -> None:
        """Give the oldest answer that was kept."""
        socket, answer = self.kept.pop(0)
        await socket.send_json(answer)

    @property
    def base_urls(self) -> dict[str, str]:
        return {
            "openai": f"{self.url}/openai",
            "groq": f"{self.url}/openai",
            "anthropic": f"{self.url}/anthropic",
            "deepgram": f"{self.url}/deepgram",
            "assemblyai": f"{self.url}/assemblyai",
            "elevenlabs": f"{self.url}/elevenlabs",
            "cartesia": f"{self.url}/cartesia",
        }

    # ---- faults --------------------------------------------------------------------------------------------------

    def _note(self, request: web.Request, body: Any) -> None:
        self.requests.append((request.path_qs, body))
        self.headers.append(dict(request.headers))

    async def _refusal(self, request: web.Request) -> web.StreamResponse | None:
        assert request.transport
        match self.fault:
            case Fault.DROP:
                request.transport.abort()
                return web.Response()
            case Fault.HANG:
                await asyncio.Event().wait()
            case Fault.BUSY:
                return web.json_response({"error": {"code": "rate_limited"}}, status=429, headers={"Retry-After": "7"})
            case Fault.EXPIRED:
                return web.json_response(REFUSED[request.path.split("/")[1]], status=401)
        return None

    async def _stream(self, request: web.Request, content_type: str, pieces: list[bytes]) -> web.StreamResponse:
        assert request.transport
        if self.fault is Fault.GARBAGE:
            return web.Response(text="<html>It works!</html>", content_type="text/html")
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        self.open_sockets += 1
        try:
            for number, piece in enumerate(pieces):
                if self.fault is Fault.CUT and number * 2 >= len(pieces):
                    request.transport.abort()
                    break
                await response.write(piece)
                if self.fault is Fault.DRIBBLE:
                    await asyncio.sleep(0.8)
        finally:
            self.open_sockets -= 1
        return response

    # ---- HTTP ----------------------------------------------------------------------------------------------------

    async def speak(self, request: web.Request) -> web.StreamResponse:
        """Synthesis of all vendors: half a second of a beep in the format that was asked for."""
        body = orjson.loads(await request.read())
        self._note(request, body)
        if refusal := await self._refusal(request):
            return refusal
        audio, kind = tone(0.5), "audio/pcm"
        if "ulaw" in request.path_qs:
            audio, kind = encode(audio), "audio/basic"
        elif body.get("response_format") == "pcm":
            audio = tone(0.5, 24_000)
        size = 1001  # odd: samples are torn apart
        return await self._stream(request, kind, [audio[at : at + size] for at in range(0, len(audio), size)])

    async def transcribe(self, request: web.Request) -> web.StreamResponse:
        """https://platform.openai.com/docs/api-reference/audio/createTranscription."""
        form = await request.post()
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        file = form["file"]
        assert isinstance(file, web.FileField)
        with file.file as wav:
            assert wav.read(4) == b"RIFF"
        self._note(request, fields)
        if refusal := await self._refusal(request):
            return refusal
        text = orjson.dumps({"text": self.texts.pop(0), "usage": {"type": "duration", "seconds": 1}})
        return await self._stream(request, "application/json", [text[:9], text[9:]])

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Streams of chat completions and of messages: `reply` piece by piece."""
        self._note(request, orjson.loads(await request.read()))
        if refusal := await self._refusal(request):
            return refusal
        if self.completion:
            return web.json_response(self.completion)
        return await self._stream(request, "text/event-stream", self.reply)

    async def check(self, request: web.Request) -> web.StreamResponse:
        """What keys are tried with."""
        self._note(request, None)
        if refusal := await self._refusal(request):
            return refusal
        if KEY not in "".join(request.headers.values()):
            return web.json_response(REFUSED.get(request.path.split("/")[1], {}), status=401)
        return web.json_response({"data": []})

    async def check_or_voices(self, request: web.Request) -> web.StreamResponse:
        """Cartesia's keys are tried with its list of voices."""
        return await (self.check if request.query["limit"] == "1" else self.voices)(request)

    async def voices(self, request: web.Request) -> web.StreamResponse:
        """Lists of voices, after https://elevenlabs.io/docs/api-reference/voices and its like of the others."""
        self._note(request, None)
        if refusal := await self._refusal(request):
            return refusal
        if self.fault is Fault.GARBAGE:
            return web.Response(text="<html>It works!</html>")
        return web.json_response(VOICES[request.path.split("/")[1]])

    # ---- WebSockets ----------------------------------------------------------------------------------------------

    async def deepgram(self, request: web.Request) -> web.StreamResponse:
        """https://developers.deepgram.com/reference/speech-to-text/listen-streaming."""
        self._note(request, None)
        if self.fault is not Fault.HANG and (refusal := await self._refusal(request)):
            return refusal
        return await self._listen(request, _Deepgram())

    async def assemblyai(self, request: web.Request) -> web.StreamResponse:
        """https://www.assemblyai.com/docs/streaming/universal-streaming/message-sequence."""
        self._note(request, None)
        if self.fault in {Fault.DROP, Fault.BUSY} and (refusal := await self._refusal(request)):
            return refusal
        return await self._listen(request, _AssemblyAi())

    async def realtime(self, request: web.Request) -> web.StreamResponse:
        """https://developers.openai.com/api/reference/resources/realtime."""
        self._note(request, None)
        if self.fault in {Fault.DROP, Fault.EXPIRED} and (refusal := await self._refusal(request)):
            return refusal
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        assert request.transport
        session = RealtimeSession(socket, self.spoken, self.texts, lambda: self.fault, request.transport.abort)
        self.sessions.append(session)
        self.open_sockets += 1
        try:
            await session.run()
        finally:
            self.open_sockets -= 1
        return socket

    async def _listen(self, request: web.Request, protocol: "_Deepgram | _AssemblyAi") -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.open_sockets += 1
        try:
            if self.fault is Fault.EXPIRED:
                await socket.send_json({"type": "Error", "error_code": 1008, "error": "Unauthorized Connection"})
                await socket.close(code=1008)
            elif opening := protocol.opening():
                await socket.send_json(opening)
            await self._hear(request, socket, protocol)
        finally:
            self.open_sockets -= 1
        return socket

    async def _hear(
        self, request: web.Request, socket: web.WebSocketResponse, protocol: "_Deepgram | _AssemblyAi"
    ) -> None:
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                answers = protocol.hear(message.data)
                if self.fault is Fault.CUT and protocol.received > HZ // 2:
                    assert request.transport
                    request.transport.abort()
            else:
                self.messages.append(message.data)
                answers = protocol.told(orjson.loads(message.data)["type"], self.texts)
            if self.fault is Fault.GARBAGE:
                await socket.send_str("It works!")
            for answer in answers:
                if self.fault is Fault.HANG or (self.fault is Fault.DRIBBLE and protocol.is_final(answer)):
                    continue
                if self.keeps_finals and protocol.is_final(answer):
                    self.kept.append((socket, answer))
                    continue
                await socket.send_json(answer)
                if answer["type"] in {"Metadata", "Termination"}:
                    await socket.close()


class _Deepgram:
    def __init__(self) -> None:
        self.received = 0
        self._since = 0
        self._voiced = bytearray()

    def opening(self) -> dict[str, Any] | None:
        return None

    def hear(self, audio: bytes) -> list[dict[str, Any]]:
        before, self.received = self.received, self.received + len(audio)
        self._voiced += audio.replace(b"\xff", b"").replace(b"\x7f", b"")
        return [self._results("(so far)" if self._voiced else "")] if before // HZ < self.received // HZ else []

    def told(self, kind: str, texts: list[str]) -> list[dict[str, Any]]:
        if kind == "CloseStream":
            return [{"type": "Metadata", "request_id": "8c8e", "duration": self.received / HZ, "channels": 1}]
        if kind != "Finalize":
            return []
        text = texts.pop(0) if self._voiced else ""
        self._voiced.clear()
        results = [self._results(text, is_final=True, from_finalize=True)]
        self._since = self.received
        return results

    def is_final(self, answer: dict[str, Any]) -> bool:
        return bool(answer.get("is_final"))

    def _results(self, text: str, *, is_final: bool = False, from_finalize: bool = False) -> dict[str, Any]:
        start, end = self._since / HZ, self.received / HZ
        words = [{"word": word, "start": start, "end": end, "confidence": 0.98} for word in text.split()]
        return {
            "type": "Results",
            "channel_index": [0, 1],
            "duration": end - start,
            "start": start,
            "is_final": is_final,
            "speech_final": is_final,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [{"transcript": text, "confidence": 0.98, "words": words}]},
            "metadata": {"request_id": "8c8e", "model_info": {"name": "general-nova-3"}},
        }


class _AssemblyAi:
    def __init__(self) -> None:
        self.received = 0
        self._turn = 0
        self._voiced = bytearray()
        self._told_at = 0

    def opening(self) -> dict[str, Any]:
        return {"type": "Begin", "id": "de5d9927", "expires_at": 1759796682}

    def hear(self, audio: bytes) -> list[dict[str, Any]]:
        if not HZ // 20 <= len(audio) <= HZ:
            return [{"type": "Error", "error_code": 3007, "error": "Input duration violation"}]
        self.received += len(audio)
        self._voiced += audio.replace(b"\xff", b"").replace(b"\x7f", b"")
        if self._voiced and self.received - self._told_at > HZ:
            self._told_at = self.received
            return [self._turn_of("so far", is_over=False)]
        return []

    def told(self, kind: str, texts: list[str]) -> list[dict[str, Any]]:
        if kind == "Terminate":
            return [{"type": "Termination", "audio_duration_seconds": 1, "session_duration_seconds": 2}]
        if kind != "ForceEndpoint" or not self._voiced:
            return []
        self._voiced.clear()
        turn = self._turn_of(texts.pop(0), is_over=True)
        self._turn += 1
        return [turn]

    def is_final(self, answer: dict[str, Any]) -> bool:
        return bool(answer.get("end_of_turn"))

    def _turn_of(self, text: str, *, is_over: bool) -> dict[str, Any]:
        end = self.received * 1000 // HZ
        return {
            "type": "Turn",
            "turn_order": self._turn,
            "turn_is_formatted": False,
            "end_of_turn": is_over,
            "transcript": text if is_over else "",
            "end_of_turn_confidence": 0.7,
            "words": [
                {"start": end - 80, "end": end, "text": word, "confidence": 0.9, "word_is_final": is_over}
                for word in text.split()
            ],
            "utterance": "",
        }


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def fake_vendors(**state: Any) -> AsyncIterator[FakeVendors]:
    vendors = FakeVendors(**state)
    posts: dict[str, Handler] = {
        "/openai/chat/completions": vendors.chat,
        "/openai/deployments/{name}/chat/completions": vendors.chat,
        "/openai/audio/speech": vendors.speak,
        "/openai/audio/transcriptions": vendors.transcribe,
        "/anthropic/messages": vendors.chat,
        "/deepgram/speak": vendors.speak,
        "/elevenlabs/text-to-speech/{voice}/stream": vendors.speak,
        "/cartesia/tts/bytes": vendors.speak,
    }
    gets: dict[str, Handler] = {
        "/deepgram/listen": vendors.deepgram,
        "/openai/realtime": vendors.realtime,
        "/assemblyai/ws": vendors.assemblyai,
        "/openai/models": vendors.check,
        "/anthropic/models": vendors.check,
        "/deepgram/auth/token": vendors.check,
        "/assemblyai/token": vendors.check,
        "/elevenlabs/user": vendors.check,
        "/cartesia/voices": vendors.check_or_voices,
        "/elevenlabs/voices": vendors.voices,
        "/deepgram/models": vendors.voices,
    }
    app = web.Application()
    app.add_routes([web.post(path, handler) for path, handler in posts.items()])
    app.add_routes([web.get(path, handler) for path, handler in gets.items()])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    vendors.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield vendors
    finally:
        await runner.cleanup()
