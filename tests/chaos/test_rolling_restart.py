"""Every process of an installation with two of each is replaced under load, and nobody notices.

Requests that may be repeated succeed, every call that was accepted comes to its own end, each dialled once, and every
webhook arrives.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from deploy.demo.receiver import Receiver
from deploy.local.services import Service, user_environment
from deploy.local.stack import Stack
from shared.background import running
from shared.ids import new_id
from tests.chaos.conftest import SETTINGS
from tests.support.balancer import Balancer
from tests.support.customers import Customer, new_customer
from tests.support.history import Dialled
from tests.support.witness import Witness

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(280)]

BUSY = "+12025550101"
SILENT = "+12025550105"
SERVICES = (
    Service("auth-api", ("auth_service", "api"), "auth"),
    Service("project-api", ("project_service", "api"), "projects"),
    Service("project-webhooks", ("project_service", "webhooks"), "projects"),
    Service("call-api", ("call_service", "api"), "calls"),
    Service("call-worker", ("call_service", "worker"), "calls", stage=2),
    Service("gateway", ("gateway",), stage=2),
)
FIRST = tuple(service.name for service in SERVICES)
SECOND = tuple(f"{name}-2" for name in FIRST)


@asynccontextmanager
async def two_of_each(var: Path) -> AsyncIterator[tuple[Stack, str]]:
    """The stack, and the address of the balancer before its gateways.

    Services know each other by balancers, as in a cluster; gateways know the instances themselves.
    """
    stack, config = Stack(var, 0), var / "gateway.toml"
    config.write_text("")

    def ports(name: str) -> list[int]:
        return [keeper.unit.port for known, keeper in stack.keepers.items() if known in {name, f"{name}-2"}]

    async with AsyncExitStack() as balancers:
        names = {"AUTH_URL": "auth-api", "PROJECT_URL": "project-api", "CALL_URL": "call-api"}
        url = await balancers.enter_async_context(Balancer(partial(ports, "gateway")).running())
        addresses = {
            setting: await balancers.enter_async_context(Balancer(partial(ports, name)).running())
            for setting, name in names.items()
        }
        env = {**SETTINGS, **addresses, "GATEWAY_CONFIG": str(config), "ENGINES": "null"}
        twice = [*SERVICES, *(replace(service, name=f"{service.name}-2") for service in SERVICES)]
        async with stack:
            await stack.bring_up({**user_environment(), **env}, twice)
            lines = [
                f'{setting.lower()} = "{",".join(f"http://127.0.0.1:{port}" for port in ports(name))}"'
                for setting, name in names.items()
            ]
            config.write_text("\n".join(lines))
            for name in ("gateway", "gateway-2"):
                stack.kill(name, signal.SIGHUP)
            yield stack, url
            stack.at_once.set()


class Load:
    """Requests of a customer without a pause, each of which may be repeated; those that fail are kept."""

    def __init__(self, customer: Customer, session: aiohttp.ClientSession, witness: Witness) -> None:
        self._customer = customer
        self._session = session
        self._witness = witness
        self.answered = 0
        self.failed: list[str] = []

    async def read(self) -> None:
        while True:
            for path in ("/project", "/call", "/user/sessions"):
                await self._try("GET", path)

    async def call(self) -> None:
        while True:
            self._witness.accepted(await self._call_until_accepted(new_id()))
            await asyncio.sleep(0.3)

    async def _call_until_accepted(self, key: str) -> str:
        body = {"number": BUSY, "projectId": self._customer.project_id, "agentId": self._customer.agent_id}
        for _ in range(100):
            status, answer = await self._ask("POST", "/call/makeCall", json=body, headers={"Idempotency-Key": key})
            if status == 200:
                return str(answer["call"]["call_id"])
            await asyncio.sleep(0.2)
        raise AssertionError(f"not accepted in 100 tries: {status} {answer}")

    async def _try(self, method: str, path: str) -> None:
        status, answer = await self._ask(method, path)
        self.answered += 1
        if status != 200:
            self.failed.append(f"{method} {path}: {status} {answer}")
        await asyncio.sleep(0.02)

    async def _ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._customer.api.token}", **options.pop("headers", {})}
        try:
            url = self._customer.api.base_url + path
            async with self._session.request(method, url, headers=headers, **options) as response:
                return response.status, orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, repr(error)


async def test_a_rolling_restart(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    async with (
        two_of_each(tmp_path) as (stack, url),
        Receiver().running() as receiver,
        Witness.watching(stack) as witness,
    ):
        customer = await new_customer(stack, session, silenceTimeoutSeconds=8)
        await customer.add_webhook(receiver)
        customer.api.base_url = url
        load = Load(customer, session, witness)
        async with running(load.read(), "reader"), running(load.read(), "reader"), running(load.call(), "caller"):
            live = [witness.accepted(await customer.call(SILENT)) for _ in range(4)]
            for name in FIRST:
                await stack.restart(name)
            live += [witness.accepted(await customer.call(SILENT)) for _ in range(4)]
            await asyncio.gather(*map(stack.restart, SECOND))
        await witness.all_complete(60)
        await witness.all_delivered(receiver, 60)
    dials = [Dialled(event.subject) for event in witness.events if event.type == "call.initiated"]
    assert witness.violations(receiver, dials) == []
    reasons = Counter(event.data["reason"] for event in witness.events if event.type == "call.ended")
    assert reasons.keys() == {"callee_busy", "silence_timeout"}
    assert reasons["silence_timeout"] == len(live)
    assert len(dials) > 50
    assert load.failed == []
    assert load.answered > 500
