"""Which trunk a request is from, by address, called number and digest; who guesses passwords is ignored for a while."""

from collections.abc import Sequence
from typing import Any

import pytest

from call_service.carriers.port import RefusedCall
from call_service.carriers.sip.digest import Challenger
from call_service.carriers.sip.flow import Address
from call_service.carriers.sip.front_desk import FORGIVEN_SECONDS, MAX_FAILURES, FrontDesk
from call_service.carriers.sip.line import TrunkLine
from call_service.carriers.sip.message import Request
from call_service.carriers.sip.roster import Roster
from call_service.carriers.sip.server_transactions import InviteServer
from call_service.carriers.sip.trunk import Trunk
from tests.support.sip_world import CLIENT, SERVER, Party, VirtualFlow, World

NUMBER = "+12025550100"
STRANGER = Address("198.51.100.7", 5060)
OF_SERVER: dict[str, Any] = {"source_networks": [f"{SERVER.host}/32"]}
DIGEST: dict[str, Any] = {"inbound": "digest", "username": "pbx", "password": "secret"}


class Reception:
    """A front desk with trunks; `taken` are the names of those that each INVITE may be from."""

    def __init__(self, **trunks: dict[str, Any]) -> None:
        self.world = World()
        self.us = Party(self.world, CLIENT)
        fields = {"host": "203.0.113.9", "pings_every": None}
        roster = Roster()
        for name, own in trunks.items():
            roster.add(TrunkLine(self.us.agent, Trunk.model_validate({"name": name, **fields, **own})))
        self.taken: list[list[str]] = []
        challenger = Challenger("test", b"secret", self.world.time.time)
        self.desk = self.us.agent.desk = FrontDesk(self.us.agent, challenger, roster, self._take)
        self.refused: list[RefusedCall] = []
        self.desk.on_refusal = self.refused.append
        self.lines = list(roster)

    def _take(self, lines: Sequence[TrunkLine], transaction: InviteServer) -> None:
        self.taken.append([line.trunk.name for line in lines])

    def invite(
        self, source: Address = SERVER, caller: str = "anna", authorization: str | None = None, requires: str = ""
    ) -> None:
        own = (
            ("Via", f"SIP/2.0/UDP {source.host};branch=z9hG4bK{self.world.token()}"),
            ("From", f"<sip:{caller}@{source.host}>;tag=1"),
            ("To", f"<sip:{NUMBER}@{CLIENT.host}>"),
            ("Call-ID", self.world.token()),
            ("CSeq", "1 INVITE"),
            ("Contact", f"<sip:{caller}@{source.host}>"),
        )
        extra = (("Authorization", authorization),) if authorization else ()
        extra += (("Require", requires),) if requires else ()
        request = Request("INVITE", f"sip:{NUMBER}@{CLIENT.host}", (*own, *extra))
        self.us.agent.received(request.encode(), VirtualFlow(self.world, CLIENT, source))


def wrong(username: str) -> str:
    return (
        f'Digest username="{username}", realm="test", nonce="1.2", uri="sip:x", response="0", nc=00000001, '
        'cnonce="a", qop=auth'
    )


@pytest.mark.parametrize(
    ("trunks", "taken"),
    [
        ({"a": OF_SERVER}, [["a"]]),
        ({"a": OF_SERVER, "b": OF_SERVER}, [["a", "b"]]),
        ({"a": OF_SERVER, "b": {**OF_SERVER, "caller_ids": [NUMBER]}}, [["b", "a"]]),
        ({"a": OF_SERVER, "b": DIGEST}, [["a"]]),
        ({"a": {"source_networks": ["198.18.0.0/15"]}}, []),
        ({}, []),
    ],
    ids=["one", "several", "the one with the number first", "nobody says to be the other", "another address", "none"],
)
async def test_the_trunks_a_call_may_be_from(trunks: dict[str, Any], taken: list[list[str]]) -> None:
    at = Reception(**trunks)
    at.invite()
    assert at.taken == taken
    assert at.world.sent("401") == 0
    assert at.desk.ignored == (not taken)


async def test_who_says_to_be_a_trunk_is_asked_for_its_password() -> None:
    at = Reception(b=DIGEST)
    at.invite(STRANGER, "pbx")
    assert (at.taken, at.world.sent("401")) == ([], 1)
    at.invite(STRANGER, "somebody")
    assert (at.taken, at.world.sent("401")) == ([], 1)


async def test_a_password_cannot_be_avoided_by_naming_an_address_and_not_be_forced_on_a_caller() -> None:
    at = Reception(a=OF_SERVER, b=DIGEST)
    at.invite(SERVER, "pbx")
    at.invite(SERVER, "anna", wrong("pbx"))
    assert at.taken == [["a", "b"], ["a", "b"]]
    assert at.world.sent("401") == 0


async def test_who_guesses_is_ignored_until_he_was_quiet() -> None:
    at = Reception(b=DIGEST)
    for _ in range(MAX_FAILURES + 5):
        at.invite(STRANGER, "pbx", wrong("pbx"))
    assert at.world.sent("401") == MAX_FAILURES - 1
    at.invite(Address("198.51.100.8", 5060), "pbx")
    assert at.world.sent("401") == MAX_FAILURES
    await at.world.time.advance(FORGIVEN_SECONDS * 1000 + 1)
    at.world.carried.clear()
    at.invite(STRANGER, "pbx")
    assert (at.world.sent("401"), at.taken) == (1, [])


async def test_what_is_refused_here_is_told_with_its_messages() -> None:
    at = Reception(a=OF_SERVER, b=DIGEST)
    at.invite(requires="100rel")
    at.invite(STRANGER, "pbx", wrong("pbx"))
    assert [(list(one.trunks), one.sip_code, one.reason) for one in at.refused] == [
        (["a"], 420, "unsupported_extension"),
        (["b"], 401, "digest_refused"),
    ]
    assert {(one.to, len(one.ladder.entries)) for one in at.refused} == {(NUMBER, 2)}
    assert at.refused[0].ladder.entries[1].text.startswith("SIP/2.0 420")


async def test_whether_a_full_trunk_takes_a_call_is_not_decided_here() -> None:
    """Other workers have calls of it as well, and who was refused is to be found among the calls."""
    at = Reception(a={**OF_SERVER, "max_calls": 1})
    at.lines[0].calls = 1
    at.invite()
    assert at.taken == [["a"]]
    assert at.refused == []


async def test_who_is_not_known_and_who_is_only_asked_for_the_password_is_not_told() -> None:
    at = Reception(b=DIGEST)
    at.invite(STRANGER, "somebody", wrong("somebody"))
    at.invite(STRANGER, "pbx")
    for _ in range(MAX_FAILURES + 5):
        at.invite(STRANGER, "pbx", wrong("pbx"))
    assert len(at.refused) == MAX_FAILURES - 1
