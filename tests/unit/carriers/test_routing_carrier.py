"""Which network a call takes, and what becomes of it while SIP can't be opened."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from call_service.carriers.port import CarrierRejectedError, DialRequest
from call_service.carriers.routing import RoutingCarrier


class Network:
    """A carrier that remembers what it was told."""

    def __init__(self, name: str, found: bool | None = None) -> None:
        self.name = name
        self.found = found
        self.placed: list[str] = []
        self.trunks: Sequence[Any] = ()
        self.listener: object = None
        self.is_closed = False

    async def place(self, request: DialRequest) -> Any:
        self.placed.append(request.call_id)

    async def find(self, _call_id: str) -> bool | None:
        return self.found

    def on_call(self, listener: object) -> None:
        self.listener = listener

    async def use(self, trunks: Sequence[Any]) -> None:
        self.trunks = trunks

    async def close(self) -> None:
        self.is_closed = True


def request(trunk_id: str | None) -> DialRequest:
    return DialRequest("call", "+12025550100", "+12025550199", timedelta(seconds=1), trunk_id=trunk_id)


def routing(default: Network | None, *outcomes: Network | Exception) -> Any:
    """SIP opens with the next of `outcomes`."""
    left = list(outcomes)

    async def open_sip() -> Any:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return RoutingCarrier(default, open_sip)


async def test_calls_with_a_trunk_go_by_sip_and_the_others_by_default() -> None:
    default, sip = Network("simulated"), Network("sip")
    carrier = routing(default, sip)
    carrier.on_call(print)
    await carrier.use([])
    assert carrier.name == "simulated"
    await carrier.place(request(None))
    with pytest.raises(CarrierRejectedError, match="carrier_unreachable"):
        await carrier.place(request("trunk"))
    await carrier.use(["a trunk"])
    await carrier.place(request("trunk"))
    assert (default.placed, sip.placed, sip.trunks) == (["call"], ["call"], ["a trunk"])
    assert (default.listener, sip.listener) == (print, print)
    await carrier.use([])
    assert sip.trunks == []
    await carrier.close()
    assert default.is_closed
    assert sip.is_closed


async def test_without_a_default_a_call_needs_a_trunk() -> None:
    with pytest.raises(CarrierRejectedError) as refused:
        await routing(None).place(request(None))
    assert refused.value.reason == "no_trunk"


async def test_a_port_that_is_taken_is_told_and_tried_again() -> None:
    sip = Network("sip")
    carrier = routing(None, OSError("port 5060 is taken"), sip)
    await carrier.use(["a trunk"])
    assert "5060 is taken" in carrier.sip_error
    with pytest.raises(CarrierRejectedError, match="5060 is taken") as refused:
        await carrier.place(request("trunk"))
    assert refused.value.reason == "carrier_unreachable"
    await carrier.use(["a trunk"])
    assert (carrier.sip_error, sip.trunks) == (None, ["a trunk"])


@pytest.mark.parametrize(
    ("default", "sip", "is_"), [(True, None, True), (False, None, None), (False, False, False), (False, True, True)]
)
async def test_nobody_was_dialled_only_where_all_networks_say_so(
    default: bool, sip: bool | None, is_: bool | None
) -> None:
    carrier = routing(Network("simulated", default), Network("sip", sip))
    await carrier.use(["a trunk"])
    assert await carrier.find("call") is is_
