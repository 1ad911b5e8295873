"""What the record of a call's messages does not show."""

from datetime import UTC, datetime

import pytest

from call_service.signalling.ladder import Ladder
from tests.support.sip_world import CLIENT, SERVER, VirtualFlow, World


def _shown(message: str) -> str:
    ladder = Ladder()
    flow = VirtualFlow(World(), CLIENT, SERVER)
    ladder.add(datetime(2026, 1, 1, tzinfo=UTC), flow, message.replace("\n", "\r\n").encode(), is_sent=False)
    return ladder.entries[0].text


@pytest.mark.parametrize(
    "kind",
    [
        "Content-Type: application/dtmf",
        "c: application/dtmf",
        "CONTENT-TYPE : Application/DTMF;charset=utf-8",
        "Content-Type:\n application/dtmf",
        "Content-Type: application/dtmf-relay",
    ],
)
@pytest.mark.parametrize("body", ["7", "7\n", "\n\n7\n", "Signal=7\nDuration=160\n", " Signal = 7\n"])
def test_pressed_keys_are_hidden(kind: str, body: str) -> None:
    head = f"INFO sip:b@example.com SIP/2.0\nCSeq: 12 INFO\n{kind}\nContent-Length: {len(body)}"
    shown = _shown(f"{head}\n\n{body}")
    assert shown == f"{head}\n\n(hidden)\n"


def test_keys_of_another_type_are_hidden_and_other_bodies_shown() -> None:
    assert _shown("INFO sip:b SIP/2.0\nc: text/plain\n\n Signal = 7\n").endswith("Signal = (hidden)\n")
    sdp = "INVITE sip:b SIP/2.0\nc: application/sdp\n\nv=0\ns=c: application/dtmf\nc=IN IP4 192.0.2.1\n"
    assert _shown(sdp) == sdp
    assert _shown("INFO sip:b SIP/2.0\nc: application/dtmf\n\n").endswith("application/dtmf\n\n")
