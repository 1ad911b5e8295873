"""One answer of a Realtime model, from the question to the last of its events."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import Any

from call_service.carriers.g711 import decode
from call_service.llm.messages import PartialCall, ToolCall
from call_service.vendors.errors import VendorBusyError, VendorError
from call_service.vendors.realtime import messages
from call_service.vendors.usage import Meter
from call_service.voice.brain.expects import guess_expects
from call_service.voice.ports import Spoken

# The longest answer, of 4,096 tokens, comes in about two thousand pieces of sound and as many of text.
MAX_WAITING = 10_000

Part = Spoken | ToolCall


class Answer:
    """`take` gets its events, `parts` gives what they mean.

    `cut` hears what was not heard of an item, `drop` of calls that nobody reads.
    """

    def __init__(self, meter: Meter, cut: Callable[[str, int], None], drop: Callable[[str], None]) -> None:
        self._meter = meter
        self._cut = cut
        self._drop = drop
        self._called: list[str] = []
        self._parts: asyncio.Queue[Part | VendorError | None] = asyncio.Queue(MAX_WAITING)
        self._is_over = asyncio.Event()
        self._is_left = False
        self.is_read = False
        """Has somebody read it to its end?"""
        self._asked_at: float | None = asyncio.get_running_loop().time()
        self._item = ""
        self._words = ""  # that came since the last sound
        self._text = ""

    @property
    def has_ended(self) -> bool:
        """Has its last event come?"""
        return self._is_over.is_set()

    async def ended(self, seconds: float) -> None:
        """Wait for the last event, that long. Raises VendorBusyError."""
        try:
            async with asyncio.timeout(seconds):
                await self._is_over.wait()
        except TimeoutError:
            raise VendorBusyError("s2s", "an answer does not end") from None

    def leave(self) -> None:
        """Nobody reads on; its end is still waited for."""
        self._is_left = True
        for call_id in self._called:
            self._drop(call_id)

    async def parts(self) -> AsyncGenerator[Part]:
        """Sound with its words, and calls of functions. Raises VendorError."""
        while (part := await self._parts.get()) is not None:
            if isinstance(part, VendorError):
                raise part
            yield part
        self.is_read = True

    def fail(self, error: VendorError) -> None:
        """The connection is gone."""
        self._is_over.set()
        self._put(error)

    def take(self, kind: str, event: Mapping[str, Any]) -> None:
        """An event whose type begins with `response.`. Raises LookupError, TypeError, ValueError: it is none."""
        match kind:
            case "response.output_audio.delta":
                self._sound(str(event["item_id"]), decode(b64decode(event["delta"], validate=True)))
            case "response.output_audio_transcript.delta":
                self._words += str(event["delta"])
            case "response.output_item.done":
                self._item_done(event["item"])
            case "response.done":
                self._done(event["response"])

    def _sound(self, item: str, pcm: bytes) -> None:
        if self._asked_at is not None:
            self._meter.first_byte(asyncio.get_running_loop().time() - self._asked_at)
            self._asked_at = None
        self._item = item
        self._say(pcm)

    def _say(self, pcm: bytes) -> None:
        item, words = self._item, self._words
        self._words = ""
        self._text += words
        self._put(Spoken(item, pcm, words, lambda heard_ms: self._cut(item, heard_ms), guess_expects(self._text)))

    def _item_done(self, item: Mapping[str, Any]) -> None:
        if item["type"] == "function_call":
            self._call_done(PartialCall(str(item["call_id"]), str(item["name"]), str(item["arguments"])).complete())
        elif self._item:
            self._say(b"")  # the words that came behind the last sound

    def _call_done(self, call: ToolCall) -> None:
        if self._is_left:
            self._drop(call.id)
        self._called.append(call.id)
        self._put(call)

    def _done(self, response: Mapping[str, Any]) -> None:
        for unit, amount in messages.usage_of(response).items():
            if amount > 0:
                self._meter.count(unit, amount)
        self._is_over.set()
        if response.get("status") != "failed":
            self._put(None)
            return
        error = messages.error_of((response.get("status_details") or {}).get("error"))
        self._meter.failed(error)
        self._put(error)

    def _put(self, part: Part | VendorError | None) -> None:
        if self._is_left:
            return
        with suppress(asyncio.QueueFull):
            self._parts.put_nowait(part)
