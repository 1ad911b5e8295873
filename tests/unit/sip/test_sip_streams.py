"""When a connection is given up. No sockets: what the peer sends is fed to the reader."""

import asyncio

import pytest

from call_service.carriers.sip import streams
from call_service.carriers.sip.flow import Address, Flow
from call_service.carriers.sip.streams import StreamFlow
from tests.support.sip_world import CLIENT, SERVER


class Wire(asyncio.Transport):
    """The lower end of a connection."""

    is_aborted = False

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


class User:
    """A `Receiver` with a call on the connection until it was asked `patience` times."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.asked = 0
        self.lost_flows: list[Flow] = []

    def received(self, data: bytes, flow: Flow) -> None: ...

    def lost(self, flow: Flow) -> None:
        self.lost_flows.append(flow)

    def needs(self, flow: Flow) -> bool:
        self.asked += 1
        return self.asked <= self.patience


@pytest.mark.parametrize("patience", [0, 3])
async def test_a_silent_connection_is_closed_once_no_call_needs_it(
    monkeypatch: pytest.MonkeyPatch, patience: int
) -> None:
    """A trunk that connects to us may accept no connection, and says nothing while two people talk."""
    monkeypatch.setattr(streams, "IDLE_SECONDS", 0.01)
    loop, wire, user = asyncio.get_running_loop(), Wire(), User(patience)
    reader = asyncio.StreamReader()
    writer = asyncio.StreamWriter(wire, asyncio.StreamReaderProtocol(reader), reader, loop)
    flow = StreamFlow(reader, writer, user, local=CLIENT, peer=Address(*SERVER), accepted=False)
    await asyncio.wait_for(flow.run(), 10)
    assert user.asked == patience + 1
    assert user.lost_flows == [flow]
    assert wire.is_aborted
