"""Recognition by vendors against their protocols on loopback: what is heard, and every way in which they fail."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from call_service.vendors.connection import Connection, Limits
from call_service.vendors.errors import (
    VendorBusyError,
    VendorError,
    VendorKeyError,
    VendorProtocolError,
    VendorTimeoutError,
    VendorUnreachableError,
)
from call_service.vendors.recognition import streaming
from call_service.vendors.recognition.assemblyai import AssemblyAiWire
from call_service.vendors.recognition.deepgram import DeepgramWire
from call_service.vendors.recognition.streaming import StreamingRecognizer
from call_service.vendors.recognition.whisper import WhisperRecognizer
from call_service.vendors.usage import Meter, by_unit
from shared.providers import PROVIDERS
from tests.support.fake_vendors import KEY, FakeVendors, Fault, fake_vendors, tone
from tests.support.sip_peers import until

FRAME = 320
SILENCE = bytes(FRAME)
SPEECH = tone(2.0)
QUICK = Limits(timedelta(seconds=1), timedelta(seconds=1), timedelta(seconds=2), max_bytes=100_000)
PATIENT = Limits(timedelta(seconds=20), timedelta(seconds=20), timedelta(seconds=20), max_bytes=100_000)


@asynccontextmanager
async def recognizer_of(name: str, vendors: FakeVendors, **options: Any) -> AsyncIterator[tuple[Any, Meter]]:
    """With short limits only for a vendor from whom nothing comes: this machine may be busy."""
    is_waited_for = vendors.fault in {Fault.HANG, Fault.DRIBBLE} or not vendors.texts
    with pytest.MonkeyPatch.context() as patch:
        if not is_waited_for:
            patch.setattr(streaming, "SETTLED_SECONDS", 5.0)
            patch.setattr(streaming, "UNSETTLED_SECONDS", 20.0)
        async with _recognizer_of(name, vendors, QUICK if is_waited_for else PATIENT, options) as both:
            yield both


@asynccontextmanager
async def _recognizer_of(
    name: str, vendors: FakeVendors, limits: Limits, options: dict[str, Any]
) -> AsyncIterator[tuple[Any, Meter]]:
    async with aiohttp.ClientSession() as session:
        meter = Meter(name, "stt")
        base_url = vendors.base_urls[name]
        connection = Connection(session, base_url, PROVIDERS[name].headers_with(KEY), meter, limits)
        if name == "openai":
            yield WhisperRecognizer(connection, "whisper-1", "en", options), meter
            return
        wire = DeepgramWire("nova-3", "en-US", options) if name == "deepgram" else AssemblyAiWire("universal", options)
        recognizer = StreamingRecognizer(connection, wire)
        yield recognizer, meter
        await recognizer.close()


def live(recognizer: StreamingRecognizer, pcm: bytes) -> bytes:
    """Let the recogniser hear `pcm` as the session does."""
    for start in range(0, len(pcm), FRAME):
        recognizer.hear(pcm[start : start + FRAME])
    return pcm


STREAMING = pytest.mark.parametrize("name", ["deepgram", "assemblyai"])


@STREAMING
async def test_each_utterance_of_a_call_gets_its_own_text_over_one_connection(name: str) -> None:
    async with fake_vendors(texts=["Hello there.", "On Monday."]) as vendors:
        async with recognizer_of(name, vendors) as (recognizer, meter):
            first = live(recognizer, SPEECH)
            assert await recognizer.recognize(first) == "Hello there."
            live(recognizer, SILENCE * 100)
            second = live(recognizer, tone(1.5))
            assert await recognizer.recognize(second) == "On Monday."
        assert len(vendors.requests) == 1
        assert vendors.messages[-1] in {'{"type":"CloseStream"}', '{"type":"Terminate"}'}
        assert by_unit(meter.totals)[f"{name}.seconds"] == pytest.approx(5.5, abs=0.1)
        assert vendors.open_sockets == 0


@STREAMING
async def test_an_utterance_that_goes_on_after_a_pause_keeps_what_was_written_down_in_the_pause(name: str) -> None:
    async with (
        fake_vendors(texts=["My number is", "five five one."]) as vendors,
        recognizer_of(name, vendors) as (recognizer, _),
    ):
        begun = live(recognizer, SPEECH)
        assert await recognizer.recognize(begun) == "My number is"
        whole = begun + live(recognizer, SILENCE * 20) + live(recognizer, tone(1.0))
        assert await recognizer.recognize(whole) == "My number is five five one."


@STREAMING
async def test_a_fallback_that_did_not_listen_is_sent_each_utterance_at_once(name: str) -> None:
    async with fake_vendors(texts=["Hello there.", "On Monday."]) as vendors:
        async with recognizer_of(name, vendors) as (recognizer, meter):
            assert await recognizer.recognize(SPEECH) == "Hello there."
            assert await recognizer.recognize(tone(1.0)[2:]) == "On Monday."
        assert by_unit(meter.totals)[f"{name}.seconds"] == pytest.approx(3.0, abs=0.1)


@STREAMING
async def test_a_short_noise_that_is_no_word_is_no_failure(name: str) -> None:
    async with fake_vendors() as vendors, recognizer_of(name, vendors) as (recognizer, _):
        assert await recognizer.recognize(live(recognizer, SILENCE * 30)) == ""


@STREAMING
async def test_the_connection_says_what_it_will_send(name: str) -> None:
    async with (
        fake_vendors(texts=["Hi."]) as vendors,
        recognizer_of(name, vendors, keyterm="Talkstack", encoding="flac") as (recognizer, _),
    ):
        await recognizer.recognize(live(recognizer, SPEECH))
    path = vendors.requests[0][0]
    assert "mulaw" in path
    assert "flac" not in path
    assert "sample_rate=8000" in path
    assert "keyterm=Talkstack" in path
    assert vendors.headers[0]["Authorization"] == (f"Token {KEY}" if name == "deepgram" else KEY)


async def test_a_silent_line_keeps_the_connection_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "KEEP_ALIVE_SECONDS", 0.05)
    async with fake_vendors(texts=["Hi."]) as vendors, recognizer_of("deepgram", vendors) as (recognizer, _):
        recognizer.hear(SILENCE)
        await until(lambda: vendors.messages.count('{"type":"KeepAlive"}') >= 2)


async def test_whisper_gets_a_form_and_counts_seconds() -> None:
    async with (
        fake_vendors(texts=[" Good morning. "]) as vendors,
        recognizer_of("openai", vendors, prompt="Talkstack") as (recognizer, meter),
    ):
        assert await recognizer.recognize(SPEECH) == "Good morning."
    wanted = {"model": "whisper-1", "language": "en", "response_format": "json", "prompt": "Talkstack"}
    assert vendors.requests == [("/openai/audio/transcriptions", wanted)]
    assert by_unit(meter.totals)["openai.seconds"] == pytest.approx(2.0)


FAILING: list[tuple[str, Fault, type[VendorError], bool]] = [
    ("openai", Fault.DROP, VendorUnreachableError, True),
    ("openai", Fault.HANG, VendorTimeoutError, True),
    ("openai", Fault.CUT, VendorUnreachableError, True),
    ("openai", Fault.GARBAGE, VendorProtocolError, False),
    ("openai", Fault.BUSY, VendorBusyError, True),
    ("openai", Fault.EXPIRED, VendorKeyError, False),
    ("deepgram", Fault.DROP, VendorUnreachableError, True),
    ("deepgram", Fault.HANG, VendorTimeoutError, True),
    ("deepgram", Fault.CUT, VendorUnreachableError, True),
    ("deepgram", Fault.GARBAGE, VendorProtocolError, False),
    ("deepgram", Fault.BUSY, VendorBusyError, True),
    ("deepgram", Fault.EXPIRED, VendorKeyError, False),
    ("assemblyai", Fault.DROP, VendorUnreachableError, True),
    ("assemblyai", Fault.HANG, VendorTimeoutError, True),
    ("assemblyai", Fault.CUT, VendorUnreachableError, True),
    ("assemblyai", Fault.GARBAGE, VendorProtocolError, False),
    ("assemblyai", Fault.BUSY, VendorBusyError, True),
    ("assemblyai", Fault.EXPIRED, VendorKeyError, False),
]


@pytest.mark.parametrize(("name", "fault", "error", "is_retryable"), FAILING)
async def test_a_failing_vendor_is_a_typed_error_in_time(
    name: str, fault: Fault, error: type[VendorError], *, is_retryable: bool
) -> None:
    async with fake_vendors(fault=fault, texts=["Never."]) as vendors, recognizer_of(name, vendors) as (recognizer, _):
        started = time.monotonic()
        with pytest.raises(error) as failure:
            await recognizer.recognize(SPEECH)
        assert time.monotonic() - started < 15
    assert type(failure.value) is error
    assert failure.value.stage == "stt"
    assert failure.value.retryable is is_retryable
    assert KEY not in str(failure.value)
    assert vendors.open_sockets == 0


async def test_how_long_a_busy_vendor_wants_to_be_left_alone_is_known() -> None:
    async with fake_vendors(fault=Fault.BUSY) as vendors, recognizer_of("openai", vendors) as (recognizer, _):
        with pytest.raises(VendorBusyError) as failure:
            await recognizer.recognize(SPEECH)
    assert failure.value.retry_after_seconds == 7


@STREAMING
async def test_a_vendor_that_dribbles_but_never_finishes_gives_what_it_has_in_time(name: str) -> None:
    async with (
        fake_vendors(fault=Fault.DRIBBLE, texts=["Never."]) as vendors,
        recognizer_of(name, vendors) as (recognizer, _),
    ):
        assert "so far" in await recognizer.recognize(live(recognizer, SPEECH))


@STREAMING
async def test_the_late_answer_to_a_guess_that_was_dropped_is_not_the_answer_to_what_is_asked_since(name: str) -> None:
    async with (
        fake_vendors(texts=["My number is", "five five one."], keeps_finals=True) as vendors,
        recognizer_of(name, vendors) as (recognizer, _),
    ):
        begun = live(recognizer, SPEECH)
        guess = asyncio.create_task(recognizer.recognize(begun))
        await until(lambda: len(vendors.kept) == 1)
        guess.cancel()
        whole = begun + live(recognizer, SILENCE * 20) + live(recognizer, tone(1.0))
        recognition = asyncio.create_task(recognizer.recognize(whole))
        await until(lambda: len(vendors.kept) == 2)
        await vendors.release()
        await until(lambda: "My number is" in recognizer._transcript.text)
        await vendors.release()
        assert await recognition == "My number is five five one."


@STREAMING
async def test_an_utterance_whose_answer_is_late_does_not_get_the_words_of_the_next(name: str) -> None:
    async with (
        fake_vendors(texts=["Hello there.", "On Monday."], keeps_finals=True) as vendors,
        recognizer_of(name, vendors) as (recognizer, _),
    ):
        first = asyncio.create_task(recognizer.recognize(live(recognizer, SPEECH)))
        await until(lambda: vendors.kept)
        live(recognizer, SILENCE * 100)
        second = asyncio.create_task(recognizer.recognize(live(recognizer, tone(1.5))))
        await asyncio.sleep(0)
        await vendors.release()
        assert await first == "Hello there."
        await until(lambda: vendors.kept)
        await vendors.release()
        assert await second == "On Monday."


@STREAMING
async def test_a_connection_that_broke_is_opened_again_for_the_next_utterance(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "RECONNECT_SECONDS", 0.05)
    async with (
        fake_vendors(fault=Fault.CUT, texts=["Once more."]) as vendors,
        recognizer_of(name, vendors) as (recognizer, _),
    ):
        with pytest.raises(VendorUnreachableError):
            await recognizer.recognize(live(recognizer, SPEECH))
        vendors.fault = Fault.NONE
        await asyncio.sleep(0.1)
        live(recognizer, SILENCE)
        assert await recognizer.recognize(live(recognizer, SPEECH)) == "Once more."


async def test_half_an_utterance_is_never_taken_for_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "RECONNECT_SECONDS", 0.0)
    async with (
        fake_vendors(fault=Fault.DROP, texts=["Half."]) as vendors,
        recognizer_of("deepgram", vendors) as (recognizer, _),
    ):
        begun = live(recognizer, SPEECH)
        await until(lambda: recognizer._broken)
        vendors.fault = Fault.NONE
        with pytest.raises(VendorUnreachableError, match="during the utterance"):
            await recognizer.recognize(begun + live(recognizer, SPEECH))


async def test_a_refused_key_is_not_tried_again_in_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "RECONNECT_SECONDS", 0.0)
    async with fake_vendors(fault=Fault.EXPIRED) as vendors, recognizer_of("deepgram", vendors) as (recognizer, _):
        for _ in range(3):
            with pytest.raises(VendorKeyError):
                await recognizer.recognize(live(recognizer, SPEECH))
    assert len(vendors.requests) == 1


async def test_a_vendor_that_cannot_keep_up_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MAX_WAITING_FRAMES", 10)
    async with fake_vendors() as vendors, recognizer_of("deepgram", vendors) as (recognizer, _):
        with pytest.raises(VendorBusyError, match="keep up"):
            await recognizer.recognize(live(recognizer, SPEECH))


async def test_a_request_that_nobody_waits_for_any_more_is_ended() -> None:
    async with (
        fake_vendors(fault=Fault.HANG, texts=["Never."]) as vendors,
        recognizer_of("openai", vendors) as (recognizer, _),
    ):
        asking = asyncio.create_task(recognizer.recognize(SPEECH))
        await until(lambda: vendors.requests)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
