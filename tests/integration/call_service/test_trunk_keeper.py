"""Trunks taken into use at a worker: what is wrong with one is told of that one, and the others work."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from call_service.carriers.routing import RoutingCarrier
from call_service.carriers.sip import Trunk
from call_service.trunks.keeper import UNREADABLE, TrunkKeeper
from call_service.trunks.service import PURPOSE
from shared.db import Database
from shared.secret_box import SecretBox
from shared.testing.waiting import eventually
from tests.integration.call_service.test_trunks_api import make
from tests.support.calls import SECRET, Customer

SEALED_BY_ANOTHER = "A" * 64


class Sip:
    """The SIP part of a carrier; `used` are the names of the trunks in use."""

    def __init__(self) -> None:
        self.used: set[str] = set()
        self.states: dict[str, Any] = {}

    async def use(self, trunks: Sequence[Trunk]) -> None:
        self.used = {trunk.name for trunk in trunks}


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("host", "not a host", "The trunk can't be used as it is stored: host: "),
        ("username", "", "The trunk can't be used as it is stored: Value error, registration and digest need"),
        ("password", "no base64", UNREADABLE),
        ("password", SEALED_BY_ANOTHER, UNREADABLE),
    ],
    ids=["host", "username", "password that is none", "password of another key"],
)
async def test_a_trunk_that_cannot_be_used_stops_no_other(
    customer: Customer, db: Database, column: str, value: str, told: str
) -> None:
    broken = await make(customer, inbound="digest")
    sound = await make(customer, name="other", numbers=[])
    await db.execute(f"UPDATE trunks SET {column} = $2 WHERE id = $1", broken["id"], value)
    sip = Sip()

    async def open_sip() -> Any:
        return sip

    box = SecretBox(SECRET, PURPOSE)
    keeper = TrunkKeeper(db, RoutingCarrier(None, open_sip), box, owner="one", ca_file=None)
    keeping = asyncio.create_task(keeper.run())
    try:

        async def is_told() -> bool:
            return keeping.done() or bool(await db.fetchval("SELECT count(*) FROM trunk_states"))

        await eventually(is_told)
        error = await db.fetchval("SELECT last_error FROM trunk_states WHERE trunk_id = $1", broken["id"])
        assert str(error).startswith(told)
        assert "s3cret" not in error
        assert sip.used == {sound["id"]}
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
