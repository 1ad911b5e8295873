"""What users do with their trunks, each use case in one transaction."""

import ipaddress
from dataclasses import dataclass
from datetime import timedelta

from call_service.batches.repository import do_not_call_since, lock_number
from call_service.calls.errors import OnDoNotCallListError
from call_service.trunks import events, repository
from call_service.trunks.domain import LONGEST_TEST, Test, Trunk
from call_service.trunks.errors import (
    CallerUnknownError,
    InvalidHostError,
    TooManyTrunksError,
    TrunkInUseError,
    TrunkNotFoundError,
    TrunkTestNotFoundError,
    TrunkTestRunningError,
)
from call_service.trunks.refusals import Refusal, of_trunk
from call_service.trunks.schemas import TestBody, TrunkBody, TrunkObject
from shared.db import Database, Tx
from shared.errors import FieldError
from shared.http_client import is_public, known_addresses_of
from shared.ids import new_id
from shared.pagination import Cursors, PageQuery, page_of
from shared.secret_box import SecretBox

PURPOSE = "call:trunks"
FRESH = timedelta(seconds=60)
# Every worker watches every trunk of every user.
MAX_TRUNKS = 100


@dataclass(frozen=True, slots=True)
class Trunks:
    """The trunks of users; without `allow_private` only those on the public internet."""

    db: Database
    secrets: SecretBox
    cursors: Cursors
    allow_private: bool

    async def create(self, tenant: str, body: TrunkBody) -> TrunkObject:
        """Make a trunk.

        Raises:
            InvalidHostError, TooManyTrunksError, TrunkNameTakenError, TrunkUsernameTakenError, NumberOfOtherTrunkError
        """
        await self._check(body)
        trunk_id = new_id()
        password = body.password.get_secret_value() if body.password else ""
        async with self.db.transaction() as tx:
            if await repository.count(tx, tenant) >= MAX_TRUNKS:
                raise TooManyTrunksError
            await repository.insert(tx, tenant, trunk_id, self._values(body, password))
            return await self._written(tx, tenant, trunk_id, body, events.CREATED)

    async def replace(self, tenant: str, trunk_id: str, body: TrunkBody) -> TrunkObject:
        """As `create`, but of no new one. Raises TrunkNotFoundError."""
        await self._check(body)
        password = None if body.password is None else body.password.get_secret_value()
        async with self.db.transaction() as tx:
            await self._locked(tx, tenant, trunk_id)
            await repository.update(tx, tenant, trunk_id, self._values(body, password))
            return await self._written(tx, tenant, trunk_id, body, events.CHANGED)

    async def get(self, tenant: str, trunk_id: str) -> TrunkObject:
        """Raises TrunkNotFoundError."""
        trunk = await repository.find(self.db, tenant, trunk_id)
        if trunk is None:
            raise TrunkNotFoundError
        return (await self._shown(tenant, [trunk]))[0]

    async def page(self, tenant: str, query: PageQuery) -> tuple[list[TrunkObject], str | None]:
        """A page, newest first, and the cursor of the next one."""
        found = await repository.page(self.db, tenant, query.position(self.cursors), query.limit_and_one)
        page, cursor = page_of(found, query, self.cursors, lambda trunk: trunk.id)
        return await self._shown(tenant, page), cursor

    async def refusals(self, tenant: str, trunk_id: str) -> list[Refusal]:
        """Calls that came in by a trunk and were refused, newest first. Raises TrunkNotFoundError."""
        if await repository.find(self.db, tenant, trunk_id) is None:
            raise TrunkNotFoundError
        return await of_trunk(self.db, tenant, trunk_id)

    async def delete(self, tenant: str, trunk_id: str) -> None:
        """Raises TrunkNotFoundError, TrunkInUseError."""
        async with self.db.transaction() as tx:
            trunk = await self._locked(tx, tenant, trunk_id)
            if not await repository.delete(tx, tenant, trunk_id):
                raise TrunkInUseError
            await events.publish(tx, events.DELETED, trunk)
            await repository.changed(tx)

    async def start_test(self, tenant: str, trunk_id: str, body: TestBody) -> Test:
        """Ask a worker to test a trunk.

        Raises:
            TrunkNotFoundError, TrunkTestRunningError, CallerUnknownError, OnDoNotCallListError
        """
        async with self.db.transaction() as tx:
            trunk = await self._locked(tx, tenant, trunk_id)
            if await repository.has_open_test(tx, trunk_id, LONGEST_TEST):
                raise TrunkTestRunningError
            caller = _caller(trunk, body) if body.number else None
            if body.number:
                await lock_number(tx, tenant, body.number)
                if await do_not_call_since(tx, tenant, body.number):
                    raise OnDoNotCallListError
            test_id = new_id()
            await repository.add_test(tx, test_id, trunk_id, body.number, caller)
            return await self._found_test(tx, tenant, trunk_id, test_id)

    async def test(self, tenant: str, trunk_id: str, test_id: str) -> Test:
        """Raises TrunkTestNotFoundError."""
        return await self._found_test(self.db, tenant, trunk_id, test_id)

    @staticmethod
    async def _found_test(connection: Tx | Database, tenant: str, trunk_id: str, test_id: str) -> Test:
        test = await repository.find_test(connection, tenant, trunk_id, test_id)
        if test is None:
            raise TrunkTestNotFoundError
        return test

    async def _check(self, body: TrunkBody) -> None:
        if not self.allow_private:
            await _require_public(body)

    def _values(self, body: TrunkBody, password: str | None) -> dict[str, object]:
        sealed = self.secrets.seal_text(password) if password else password
        return {**body.model_dump(exclude={"password", "numbers"}), "password": sealed}

    async def _written(self, tx: Tx, tenant: str, trunk_id: str, body: TrunkBody, event: str) -> TrunkObject:
        await repository.set_numbers(tx, tenant, trunk_id, body.numbers)
        trunk = await self._locked(tx, tenant, trunk_id)
        await events.publish(tx, event, trunk)
        await repository.changed(tx)
        return TrunkObject.of(trunk, [])

    async def _locked(self, tx: Tx, tenant: str, trunk_id: str) -> Trunk:
        trunk = await repository.lock(tx, tenant, trunk_id)
        if trunk is None:
            raise TrunkNotFoundError
        return trunk

    async def _shown(self, tenant: str, page: list[Trunk]) -> list[TrunkObject]:
        states = await repository.states(self.db, tenant, [trunk.id for trunk in page], FRESH)
        return [TrunkObject.of(trunk, states[trunk.id]) for trunk in page]


def _caller(trunk: Trunk, body: TestBody) -> str:
    wanted = body.from_ or next(iter(trunk.numbers), None)
    if wanted not in trunk.numbers:
        raise CallerUnknownError(errors=[FieldError("from", CallerUnknownError.code, "This trunk lacks the number.")])
    assert wanted
    return wanted


async def _require_public(body: TrunkBody) -> None:
    """What a name leads to later is checked by the worker at each look-up."""
    blocked = "An address that is not on the public internet."
    if not all(is_public(address) for address in await known_addresses_of(body.host)):
        raise InvalidHostError(errors=[FieldError("host", InvalidHostError.code, blocked)])
    networks = [ipaddress.ip_network(text) for text in body.allowed_addresses]
    if not all(is_public(str(network[0])) and is_public(str(network[-1])) for network in networks):
        raise InvalidHostError(errors=[FieldError("allowedAddresses", InvalidHostError.code, blocked)])
