"""Trunks are found by address as if all were looked at, and taking them into use looks at each but once."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call_service.carriers.rtp import RtpEngine
from call_service.carriers.sip import SipCarrier, Trunk
from call_service.carriers.sip.line import TrunkLine
from call_service.carriers.sip.roster import Roster
from call_service.carriers.ticker import Ticker
from tests.support.sip_world import CLIENT, Party, World

NETWORKS = ["192.0.2.0/24", "192.0.2.7/32", "192.0.0.0/16", "0.0.0.0/0", "2001:db8::/32", "2001:db8::7/128", "::/0"]
ADDRESSES = ["192.0.2.7", "192.0.2.8", "192.0.3.1", "198.51.100.1", "2001:db8::7", "2001:db9::1"]


def line(name: str, host: str = "203.0.113.9", *networks: str, roster: Roster | None = None, **own: Any) -> TrunkLine:
    trunk = {"name": name, "host": host, "source_networks": networks, "pings_every": None, **own}
    moved = (roster or Roster()).moved
    return TrunkLine(Party(World(), CLIENT).agent, Trunk.model_validate(trunk), moved)


@given(st.lists(st.lists(st.sampled_from(NETWORKS), max_size=3), max_size=5), st.sets(st.integers(0, 4)))
def test_an_address_is_found_in_every_network_around_it(trunks: list[list[str]], leaving: set[int]) -> None:
    roster = Roster()
    lines = [line(str(at), "203.0.113.9", *networks) for at, networks in enumerate(trunks)]
    for one in lines:
        roster.add(one)
    for at in leaving.intersection(range(len(lines))):
        roster.remove(lines[at])
    for address in ADDRESSES:
        expected = {
            str(at)
            for at, networks in enumerate(trunks)
            if at not in leaving and any(ip_address(address) in ip_network(network) for network in networks)
        }
        assert {one.trunk.name for one in roster.at(address)} == expected


async def test_a_trunk_is_found_where_its_name_leads_now() -> None:
    roster = Roster()
    one = line("a", "192.0.2.7", roster=roster)
    roster.add(one)
    assert roster.at("192.0.2.7") == []
    await one.look_up()
    assert roster.at("192.0.2.7") == [one]
    roster.remove(one)
    assert roster.at("192.0.2.7") == []


async def test_a_trunk_that_is_gone_is_not_found_by_a_late_look_up() -> None:
    roster = Roster()
    one = line("a", "192.0.2.7", roster=roster)
    roster.add(one)
    roster.remove(one)
    await one.look_up()
    assert roster.at("192.0.2.7") == []
    assert roster.named("a") is None


def test_who_proves_it_by_digest_is_found_by_username() -> None:
    roster = Roster()
    first, second = (line(name, inbound="digest", username="pbx") for name in "ab")
    by_address = line("c", username="other")
    assert not roster.has_digest
    for one in (first, second, by_address):
        roster.add(one)
    assert (roster.by_username("pbx"), roster.by_username("other"), roster.by_username(None)) == (first, None, None)
    roster.remove(first)
    assert roster.by_username("pbx") is second
    roster.remove(second)
    assert (roster.by_username("pbx"), roster.has_digest) == (None, False)


async def test_trunks_that_stay_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done every few seconds, beside the calls."""
    compared: list[str] = []
    equal = Trunk.__eq__

    def count(one: Trunk, other: object) -> bool:
        compared.append(one.name)
        return equal(one, other)

    def trunks(*changed: int) -> list[Trunk]:
        own = [{"max_calls": 7} if at in changed else {} for at in range(50)]
        return [line(f"t{at}", f"192.0.2.{at}", **fields).trunk for at, fields in enumerate(own)]

    carrier = SipCarrier((), RtpEngine(range(25_000, 25_002), "127.0.0.1", "127.0.0.1", Ticker()), ())
    await carrier.open()
    try:
        await carrier.use(trunks())
        before = {one.trunk.name: one for one in carrier._roster}
        monkeypatch.setattr(Trunk, "__eq__", count)
        await carrier.use(trunks(3))
        assert len(compared) <= 50
        after = {one.trunk.name: one for one in carrier._roster}
        assert {name for name in before if after[name] is not before[name]} == {"t3"}
        await carrier.use(trunks(3)[:10])
        assert len(carrier.states) == 10
        assert carrier._roster.at("192.0.2.30") == []
    finally:
        await carrier.close()
