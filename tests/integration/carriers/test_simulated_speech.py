"""The simulated carrier with the real speech engines: its callees can be understood, and they understand."""

import asyncio
import re
import time as stopwatch
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from random import Random

import pytest

from call_service.carriers.port import Answered, Cause, DialRequest, Ended, LegEvent
from call_service.carriers.simulated import ScriptBook, SimulatedCarrier, SimulatedLeg
from call_service.carriers.simulated.ear import Ear
from call_service.carriers.ticker import Ticker
from call_service.voice.engines.bundle import Engines, load_engines
from call_service.voice.engines.voices import DEFAULT_VOICE


@pytest.fixture
async def engines() -> AsyncIterator[Engines]:
    engines = await load_engines()
    yield engines
    engines.close()


@pytest.fixture
async def carrier(engines: Engines) -> AsyncIterator[SimulatedCarrier]:
    carrier = SimulatedCarrier(
        ticker=Ticker(),
        synthesizer=engines.synthesizer,
        recognizer=engines.recognizer,
        book=ScriptBook.load(),
        random=Random(1),
        voice_id="heart-calm",
    )
    yield carrier
    await carrier.close()


class Agent:
    """An agent that says what it is told and writes down what it hears."""

    def __init__(self, engines: Engines, leg: SimulatedLeg) -> None:
        self.leg = leg
        self.events: list[LegEvent] = []
        self._engines = engines
        self._ear = Ear()
        leg.on_event(self.events.append)
        leg.on_audio(self._ear.feed)

    async def until(self, condition: Callable[[], bool], seconds: float = 15) -> None:
        end = stopwatch.monotonic() + seconds
        while not condition():
            assert stopwatch.monotonic() < end, self.events
            await asyncio.sleep(0.02)

    async def hear(self) -> str:
        await self.until(lambda: bool(self._ear.utterances))
        return await self._engines.recognizer.recognize(self._ear.utterances.popleft())

    async def ask(self, text: str) -> str:
        self.leg.play(await self._engines.synthesizer.synthesize(text, DEFAULT_VOICE))
        return await self.hear()


async def call(carrier: SimulatedCarrier, engines: Engines, number: str) -> Agent:
    leg = await carrier.place(DialRequest("call-1", number, "+12025559999", timedelta(seconds=30)))
    agent = Agent(engines, leg)
    await agent.until(lambda: Answered() in agent.events)
    return agent


async def test_0100_understands_and_is_understood(carrier: SimulatedCarrier, engines: Engines) -> None:
    started = stopwatch.monotonic()
    agent = await call(carrier, engines, "+12025550100")
    assert stopwatch.monotonic() - started >= 1.4
    assert re.search("hello", await agent.hear(), re.IGNORECASE)
    assert "appointment" in await agent.ask("This is Maya from Bright Dental, how can I help you today?")
    assert re.search(r"Anna M\w+", await agent.ask("May I have your name, please?"))
    assert re.search(r"Thursday.*(three|3)", await agent.ask("What day and time would suit you?"))
    assert re.search("good ?bye", await agent.ask("Is there anything else I can do for you?"), re.IGNORECASE)
    agent.leg.play(await engines.synthesizer.synthesize("Thank you for calling, goodbye!", DEFAULT_VOICE))
    await agent.until(lambda: Ended(Cause.CALLEE_HUNG_UP) in agent.events)


async def test_0104_says_that_it_is_a_voicemail(carrier: SimulatedCarrier, engines: Engines) -> None:
    agent = await call(carrier, engines, "+12025550104")
    assert re.search("leave a message after the (tone|beep)", await agent.hear(), re.IGNORECASE)


async def test_0112_talks_through_noise(carrier: SimulatedCarrier, engines: Engines) -> None:
    agent = await call(carrier, engines, "+12025550112")
    frames = list[bytes]()
    agent.leg.on_audio(frames.append)
    agent.leg.play(await engines.synthesizer.synthesize("What is your name, please?", DEFAULT_VOICE))
    await agent.until(lambda: len(frames) > 50 * 6)
    assert re.search("mill", await engines.recognizer.recognize(b"".join(frames[-50 * 4 :])), re.IGNORECASE)
