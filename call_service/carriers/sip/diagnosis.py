"""Looks at a trunk step by step, so that an operator sees which one is broken: name, connection, account, a call."""

import asyncio
import secrets
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Literal

from call_service.carriers.port import (
    Answered,
    CarrierRejectedError,
    Cause,
    DialRequest,
    Ended,
    LegEvent,
    OutcomeUnknownError,
)
from call_service.carriers.sip.agent import ABOUT_US, UserAgent
from call_service.carriers.sip.dialog import MAX_FORWARDS
from call_service.carriers.sip.flow import Flow
from call_service.carriers.sip.leg import SipLeg
from call_service.carriers.sip.message import Headers, NoResponse, Request, Response
from call_service.carriers.sip.resolver import Target
from call_service.carriers.sip.transports import TransportError
from call_service.carriers.sip.trunk import Trunk

RING = timedelta(seconds=20)
STEP_SECONDS = 8.0
MEDIA_SECONDS = 3.0
ENOUGH_PACKETS = 10

Name = Literal["dns", "transport", "tls", "registration", "options", "invite", "media"]
_REQUESTS: tuple[tuple[Name, Literal["REGISTER", "OPTIONS"]], ...] = (
    ("registration", "REGISTER"),
    ("options", "OPTIONS"),
)
PlaceTrial = Callable[[], Awaitable[SipLeg]]


@dataclass(frozen=True, slots=True)
class Step:
    """What one step found, and how long it took."""

    name: Name
    is_ok: bool
    detail: str
    ms: int


def trial_of(trunk_id: str, to: str, from_: str) -> DialRequest:
    """The call of a test."""
    return DialRequest(f"test-{secrets.token_hex(8)}", to, from_, RING, trunk_id=trunk_id)


async def diagnose(agent: UserAgent, trunk: Trunk, trial: PlaceTrial | None) -> AsyncGenerator[Step, None]:
    """The steps in their order, each as soon as it is done; what a failed one makes impossible is left out.

    The account is tried by a REGISTER without Contact (RFC 3261, 10.2.3): it proves the password and moves no binding.
    """
    begun = monotonic()

    def step(name: Name, detail: str, *, is_ok: bool = True) -> Step:
        nonlocal begun
        before, begun = begun, monotonic()
        return Step(name, is_ok, detail, round((begun - before) * 1000))

    targets = await agent.resolver.resolve(trunk.uri())
    hosts = ", ".join(f"{one.address.host}:{one.address.port}" for one in targets)
    yield step("dns", hosts or "the name leads to no address that may be called", is_ok=bool(targets))
    if not targets:
        return
    flow: Flow | None = None
    async for way, name, error in _connected(agent, targets):
        flow = way
        yield step(name, error or "connected", is_ok=error is None)
    if flow is None:
        return
    for name, method in _REQUESTS:
        if method == "OPTIONS" or trunk.registers:
            response = await _ask(agent, trunk, flow, method)
            is_ok = response is not None and (response.is_success if method == "REGISTER" else True)
            yield step(name, f"{response.status} {response.reason}" if response else "no answer", is_ok=is_ok)
    if trial:
        async for name, error, detail in _tried(trial):
            yield step(name, error or detail, is_ok=error is None)


async def _connected(agent: UserAgent, targets: list[Target]) -> AsyncIterator[tuple[Flow | None, Name, str | None]]:
    """The way to the first target that can be reached, with the steps to it."""
    error: TransportError | None = None
    for target in targets:
        try:
            flow = await agent.network.flow(target)
        except TransportError as failure:
            error = failure
            continue
        yield flow, "transport", None
        if target.transport == "TLS":
            yield flow, "tls", None
        return
    if isinstance(error and error.__cause__, ssl.SSLError):
        yield None, "transport", None
        yield None, "tls", str(error)
    else:
        yield None, "transport", str(error)


async def _ask(agent: UserAgent, trunk: Trunk, flow: Flow, method: Literal["REGISTER", "OPTIONS"]) -> Response | None:
    """The final response, None when there was none in time."""
    uri, account = str(trunk.uri()), str(trunk.uri(trunk.username))
    call_id, tag, sent = agent.token(), agent.token(), 0
    contact = () if method == "REGISTER" else (agent.contact(flow),)

    def make(extra: Headers) -> Request:
        nonlocal sent
        sent += 1
        headers: Headers = (
            MAX_FORWARDS,
            ("From", f"<{account}>;tag={tag}"),
            ("To", f"<{account if method == 'REGISTER' else uri}>"),
            ("Call-ID", call_id),
            ("CSeq", f"{sent} {method}"),
            *contact,
            *ABOUT_US,
            *extra,
        )
        return Request(method, uri, headers)

    try:
        async with asyncio.timeout(STEP_SECONDS):
            response = await agent.authenticated(make, flow, trunk.credentials)
    except TimeoutError:
        return None
    return None if isinstance(response, NoResponse) else response


async def _tried(trial: PlaceTrial) -> AsyncIterator[tuple[Name, str | None, str]]:
    """A short call: it is hung up once audio came, or when nobody answered for 20 s."""
    try:
        leg = await trial()
    except CarrierRejectedError as error:
        yield "invite", str(error), ""
        return
    except OutcomeUnknownError:
        yield "invite", "no answer", ""
        return
    try:
        decided: asyncio.Queue[LegEvent] = asyncio.Queue()
        leg.on_event(decided.put_nowait)
        match await _decision(decided):
            case Answered():
                yield "invite", None, "answered"
                yield await _heard(leg)
            case Ended(Cause.NO_ANSWER, sip_code):
                yield "invite", None, f"it was not answered ({sip_code})"
            case Ended(cause, sip_code):
                yield "invite", f"{sip_code} {cause}", ""
    finally:
        await leg.hang_up()


async def _decision(events: asyncio.Queue[LegEvent]) -> Answered | Ended:
    while True:
        event = await events.get()
        if isinstance(event, Answered | Ended):
            return event


async def _heard(leg: SipLeg) -> tuple[Name, str | None, str]:
    enough = asyncio.Event()
    leg.on_audio(lambda _frame: enough.set() if leg.media.stats().packets_received >= ENOUGH_PACKETS else None)
    try:
        async with asyncio.timeout(MEDIA_SECONDS):
            await enough.wait()
    except TimeoutError:
        return "media", f"{leg.media.stats().packets_received} audio packets came in {MEDIA_SECONDS:g} s", ""
    stats = leg.media.stats()
    return "media", None, f"{stats.packets_received} audio packets came, {stats.lost} were lost"
