"""Synthesis by vendors against their protocols on loopback: what is said, and every way in which they fail."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from call_service.carriers.g711 import rms
from call_service.vendors.connection import Connection, Limits
from call_service.vendors.errors import (
    VendorBusyError,
    VendorError,
    VendorKeyError,
    VendorProtocolError,
    VendorRejectedError,
    VendorTimeoutError,
    VendorUnreachableError,
)
from call_service.vendors.synthesis.sources import CartesiaSource, DeepgramSource, ElevenLabsSource, OpenAiSource
from call_service.vendors.synthesis.vendor import VendorSynthesizer, new_cache
from call_service.vendors.usage import Meter, by_unit
from shared.providers import PROVIDERS
from tests.support.fake_vendors import KEY, FakeVendors, Fault, fake_vendors
from tests.support.sip_peers import until

QUICK = Limits(timedelta(seconds=1), timedelta(seconds=1), timedelta(seconds=2), max_bytes=100_000)
PATIENT = Limits(timedelta(seconds=20), timedelta(seconds=20), timedelta(seconds=20), max_bytes=100_000)
NAMES = ["elevenlabs", "cartesia", "deepgram", "openai"]


def source_of(name: str, connection: Connection, options: dict[str, Any]) -> Any:
    match name:
        case "elevenlabs":
            return ElevenLabsSource(connection, "eleven_flash_v2_5", "JBFqnCBsd6RMkjVDRZzb", options)
        case "cartesia":
            return CartesiaSource(connection, "sonic-3", "694f9389-aac1-45b6-b726-9d9369183238", "en", options)
        case "deepgram":
            return DeepgramSource(connection, "aura-2-thalia-en", options)
    return OpenAiSource(connection, "gpt-4o-mini-tts", "alloy", options)


@asynccontextmanager
async def voice_of(
    name: str, vendors: FakeVendors, *, limits: Limits | None = None, **options: Any
) -> AsyncIterator[tuple[VendorSynthesizer, Meter]]:
    """With short limits only for a vendor from whom nothing comes: this machine may be busy."""
    limits = limits or (QUICK if vendors.fault in {Fault.HANG, Fault.DRIBBLE} else PATIENT)
    async with aiohttp.ClientSession() as session:
        meter = Meter(name, "tts")
        headers = PROVIDERS[name].headers_with(KEY)
        connection = Connection(session, vendors.base_urls[name], headers, meter, limits)
        yield VendorSynthesizer(source_of(name, connection, options), meter, new_cache()), meter


@pytest.mark.parametrize("name", NAMES)
async def test_a_sentence_becomes_half_a_second_of_clean_pcm_at_8_khz(name: str) -> None:
    async with fake_vendors() as vendors, voice_of(name, vendors) as (voice, meter):
        pcm = await voice.synthesize("Good *morning*.", "heart")
    assert len(pcm) == pytest.approx(8000, abs=40)
    assert rms(pcm[1000:-1000]) == pytest.approx(8000 / 2**0.5, rel=0.05)  # torn samples would be noise
    assert by_unit(meter.totals) == {f"{name}.characters": len("Good morning .")}


REQUESTS = {
    "elevenlabs": (
        "/elevenlabs/text-to-speech/JBFqnCBsd6RMkjVDRZzb/stream?output_format=ulaw_8000",
        {"text": "Hi.", "model_id": "eleven_flash_v2_5", "voice_settings": {"speed": 1.1}},
        {"xi-api-key": KEY},
    ),
    "cartesia": (
        "/cartesia/tts/bytes",
        {
            "language": "en",
            "speed": 1.1,
            "model_id": "sonic-3",
            "voice": {"mode": "id", "id": "694f9389-aac1-45b6-b726-9d9369183238"},
            "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 8000},
            "transcript": "Hi.",
        },
        {"Authorization": f"Bearer {KEY}", "Cartesia-Version": "2025-04-16"},
    ),
    "deepgram": (
        "/deepgram/speak?speed=1.1&model=aura-2-thalia-en&encoding=linear16&sample_rate=8000&container=none",
        {"text": "Hi."},
        {"Authorization": f"Token {KEY}"},
    ),
    "openai": (
        "/openai/audio/speech",
        {"speed": 1.1, "model": "gpt-4o-mini-tts", "voice": "alloy", "response_format": "pcm", "input": "Hi."},
        {"Authorization": f"Bearer {KEY}"},
    ),
}


@pytest.mark.parametrize("name", NAMES)
async def test_requests_are_those_of_the_vendors_pages(name: str) -> None:
    async with fake_vendors() as vendors, voice_of(name, vendors, speed=1.1) as (voice, _):
        await voice.synthesize("Hi.", "heart")
    path, body, headers = REQUESTS[name]
    assert vendors.requests == [(path, body)]
    assert headers.items() <= vendors.headers[0].items()


async def test_a_repeated_text_is_paid_once() -> None:
    async with fake_vendors() as vendors, voice_of("cartesia", vendors) as (voice, meter):
        assert await voice.synthesize("Hi.", "heart") == await voice.synthesize("Hi.", "heart")
    assert len(vendors.requests) == 1
    assert by_unit(meter.totals)["cartesia.characters"] == 3


async def test_a_text_without_words_is_not_sent() -> None:
    async with fake_vendors() as vendors, voice_of("cartesia", vendors) as (voice, _):
        with pytest.raises(VendorRejectedError):
            await voice.synthesize("** 🎉 **", "heart")
    assert not vendors.requests


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("fault", "error", "is_retryable"),
    [
        (Fault.DROP, VendorUnreachableError, True),
        (Fault.HANG, VendorTimeoutError, True),
        (Fault.DRIBBLE, VendorTimeoutError, True),
        (Fault.CUT, VendorUnreachableError, True),
        (Fault.GARBAGE, VendorProtocolError, False),
        (Fault.BUSY, VendorBusyError, True),
        (Fault.EXPIRED, VendorKeyError, False),
    ],
)
async def test_a_failing_vendor_is_a_typed_error_in_time(
    name: str, fault: Fault, error: type[VendorError], *, is_retryable: bool
) -> None:
    async with fake_vendors(fault=fault) as vendors, voice_of(name, vendors) as (voice, _):
        started = time.monotonic()
        with pytest.raises(error) as failure:
            await voice.synthesize("Good morning.", "heart")
        assert time.monotonic() - started < 15
        assert type(failure.value) is error
        assert (failure.value.stage, failure.value.retryable) == ("tts", is_retryable)
        assert KEY not in str(failure.value)
        vendors.fault = Fault.NONE
        assert await voice.synthesize("Good morning.", "heart")  # half a sentence was not kept


async def test_an_endless_answer_is_cut() -> None:
    small = Limits(max_bytes=2000)
    async with fake_vendors() as vendors, voice_of("cartesia", vendors, limits=small) as (voice, _):
        with pytest.raises(VendorProtocolError, match="too large"):
            await voice.synthesize("Good morning.", "heart")


async def test_nobody_at_the_address_is_unreachable() -> None:
    async with fake_vendors() as vendors:
        nowhere = FakeVendors(url=vendors.url)
    async with voice_of("cartesia", nowhere) as (voice, _):
        with pytest.raises(VendorUnreachableError):
            await voice.synthesize("Good morning.", "heart")


async def test_audio_comes_before_the_sentence_is_complete_and_whoever_stops_listening_closes_the_socket() -> None:
    async with fake_vendors(fault=Fault.DRIBBLE) as vendors, voice_of("cartesia", vendors) as (voice, _):
        async with aclosing(voice.stream("Good morning.", "heart")) as pieces:
            assert await anext(pieces)
            assert vendors.open_sockets == 1
        await until(lambda: not vendors.open_sockets)
