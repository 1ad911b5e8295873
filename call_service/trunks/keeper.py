"""Takes trunks into use at a worker: as they change, with one worker registering each, and with tests of them."""

import asyncio
from collections.abc import Collection
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog
from cryptography.exceptions import InvalidTag
from pydantic import ValidationError

from call_service.carriers.port import CarrierRejectedError
from call_service.carriers.routing import RoutingCarrier
from call_service.trunks import repository
from call_service.trunks.domain import LONGEST_TEST, TAKEN_WITHIN, Trunk
from call_service.trunks.service import FRESH
from shared.db import Database, DatabaseUnavailableError
from shared.notifications import Repeater
from shared.secret_box import SecretBox

if TYPE_CHECKING:
    from call_service.carriers import sip

log = structlog.get_logger(__name__)

POLL_SECONDS = 5.0
MAX_TOLD = 3
REGISTRAR_LEASE = timedelta(seconds=20)
MAX_TESTS = 4
UNREADABLE = "The password can't be decrypted: it was sealed with another ENCRYPTION_KEY."


class _UnusableError(Exception):
    """A trunk as stored can't be taken into use; the text is for its owner."""


class TrunkKeeper:
    """Keeps `carrier` in step with the database for the worker `owner`; `ca_file` signs the trunks' certificates."""

    def __init__(
        self, db: Database, carrier: RoutingCarrier, secrets: SecretBox, *, owner: str, ca_file: str | None
    ) -> None:
        self._db = db
        self._carrier = carrier
        self._secrets = secrets
        self._owner = owner
        self._ca_file = ca_file
        self._tests: set[asyncio.Task[None]] = set()
        self._is_draining = False
        self._repeater = Repeater(db, repository.CHANNEL, self._keep, poll_seconds=POLL_SECONDS)

    async def run(self) -> None:
        """Until cancelled; tests that run then are cut."""
        try:
            await self._repeater.run()
        finally:
            for task in self._tests:
                task.cancel()
            await asyncio.gather(*self._tests, return_exceptions=True)

    async def drain(self) -> None:
        """Leave registrations, and with them the calls that come in, to another worker.

        Without a database the leases run out by themselves.
        """
        self._is_draining = True
        try:
            await self._keep()
            await repository.leave(self._db, self._owner)
        except (DatabaseUnavailableError, asyncpg.PostgresError) as error:
            log.warning("trunks not left", cause=repr(error))

    async def _keep(self) -> None:
        trunks = await repository.everybodys(self._db)
        registered = await self._registered(trunks)
        unusable: dict[str, str] = {}
        usable: list[sip.Trunk] = []
        for trunk in trunks:
            try:
                usable.append(self._as_used(trunk, registered))
            except _UnusableError as error:
                unusable[trunk.id] = str(error)
        await self._carrier.use(usable)
        if not self._is_draining:
            await self._report(trunks, unusable)
            await self._take_tests([trunk.id for trunk in trunks])

    async def _registered(self, trunks: list[Trunk]) -> set[str]:
        if self._is_draining or not any(trunk.registers for trunk in trunks):
            return set()
        return await repository.become_registrar(self._db, self._owner, REGISTRAR_LEASE)

    def _as_used(self, trunk: Trunk, registered: Collection[str]) -> "sip.Trunk":
        """Raises _UnusableError when the password can't be read, or something stored is against today's rules."""
        from call_service.carriers import sip  # noqa: PLC0415 - an extra that workers without trunks don't need

        fields = {
            "name": trunk.id,
            "host": trunk.host,
            "port": trunk.port,
            "transport": trunk.transport,
            "srtp": trunk.srtp,
            "username": trunk.username,
            "password": self._password(trunk),
            "realm": trunk.realm,
            "registers": trunk.id in registered,
            "inbound": trunk.inbound,
            "source_networks": trunk.allowed_addresses,
            "calls_per_second": trunk.calls_per_second,
            "max_calls": trunk.max_concurrent,
            "caller_ids": trunk.numbers,
            "ca_file": self._ca_file,
        }
        try:
            return sip.Trunk.model_validate(fields)
        except ValidationError as error:
            raise _UnusableError(_told(error)) from None

    def _password(self, trunk: Trunk) -> str:
        try:
            return self._secrets.open_text(trunk.password) if trunk.password else ""
        except (InvalidTag, ValueError):  # a ValueError: it is not even base64
            raise _UnusableError(UNREADABLE) from None

    async def _report(self, trunks: list[Trunk], unusable: dict[str, str]) -> None:
        states, found = self._carrier.states, dict[str, tuple[Any, ...]]()
        for trunk in trunks:
            if state := states.get(trunk.id):
                found[trunk.id] = (state.is_registered, state.is_reachable, state.last_error, state.calls)
            else:
                found[trunk.id] = (None, False, unusable.get(trunk.id) or self._carrier.sip_error, 0)
        await repository.report(self._db, self._owner, found, FRESH)

    async def _take_tests(self, trunk_ids: list[str]) -> None:
        free = MAX_TESTS - len(self._tests)
        if not trunk_ids or not free:
            return
        for taken in await repository.take_tests(self._db, self._owner, trunk_ids, TAKEN_WITHIN, free):
            task = asyncio.create_task(self._test(*taken), name="trunk test")
            self._tests.add(task)
            task.add_done_callback(self._tested)

    def _tested(self, task: asyncio.Task[None]) -> None:
        self._tests.discard(task)
        self._repeater.wake()
        if not task.cancelled() and (error := task.exception()):
            log.error("trunk test failed", exc_info=error)

    async def _test(self, test_id: str, trunk_id: str, numbers: tuple[str, str] | None) -> None:
        steps: list[dict[str, Any]] = []
        try:
            async with (
                asyncio.timeout((LONGEST_TEST - TAKEN_WITHIN).total_seconds()),
                aclosing(self._carrier.diagnose(trunk_id, numbers)) as found,
            ):
                async for step in found:
                    steps.append({"name": step.name, "ok": step.is_ok, "detail": step.detail, "ms": step.ms})
                    await repository.write_steps(self._db, test_id, steps, is_finished=False)
        except (CarrierRejectedError, TimeoutError) as error:
            detail = str(error) or "it took too long"
            steps.append({"name": "transport", "ok": False, "detail": detail, "ms": 0})
        await repository.write_steps(self._db, test_id, steps, is_finished=True)


def _told(error: ValidationError) -> str:
    """The fields and their rules, without the values: one of them is the password."""
    rules = [": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"]))) for one in error.errors()[:MAX_TOLD]]
    return f"The trunk can't be used as it is stored: {'; '.join(rules)}."
