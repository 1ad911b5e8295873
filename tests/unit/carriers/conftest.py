from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random

import pytest

from call_service.carriers.port import Carrier, DialRequest
from call_service.carriers.simulated import ScriptBook, SimulatedCarrier
from call_service.carriers.testing import CallProbe, TwinSpeech, VirtualTime
from call_service.carriers.ticker import Ticker

BOOK = ScriptBook.load()

Network = tuple[SimulatedCarrier, VirtualTime, TwinSpeech]
Place = Callable[..., Awaitable[CallProbe]]


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime()


@pytest.fixture
def ticker(time: VirtualTime) -> Ticker:
    return Ticker(time)


@pytest.fixture
def speech() -> TwinSpeech:
    return TwinSpeech()


def build(ticker: Ticker, speech: TwinSpeech, book: ScriptBook) -> SimulatedCarrier:
    return SimulatedCarrier(
        ticker=ticker, synthesizer=speech, recognizer=speech, book=book, random=Random(1), voice_id="callee"
    )


@pytest.fixture
def carrier(ticker: Ticker, speech: TwinSpeech) -> SimulatedCarrier:
    return build(ticker, speech, BOOK)


@pytest.fixture
def make_carrier() -> Callable[..., Network]:
    """A network of its own for each example of a property."""

    def make(book: ScriptBook = BOOK) -> Network:
        time, speech = VirtualTime(), TwinSpeech()
        return build(Ticker(time), speech, book), time, speech

    return make


@pytest.fixture
def place() -> Place:
    async def place(
        carrier: Carrier,
        time: VirtualTime,
        speech: TwinSpeech,
        number: str,
        *,
        ring_timeout_s: float = 30,
        call_id: str = "call-1",
    ) -> CallProbe:
        request = DialRequest(call_id, number, "+12025559999", timedelta(seconds=ring_timeout_s))
        return CallProbe(await carrier.place(request), time, speech)

    return place


@pytest.fixture
def dial(carrier: SimulatedCarrier, time: VirtualTime, speech: TwinSpeech, place: Place) -> Place:
    async def dial(number: str, **options: float | str) -> CallProbe:
        return await place(carrier, time, speech, number, **options)

    return dial
