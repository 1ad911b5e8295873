"""The SIP messages of a call, as the API shows them."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from call_service.signalling.ladder import Address, LadderEntry
from shared.clock import rfc3339

MESSAGE_EXAMPLE: dict[str, Any] = {
    "time": "2026-11-25T09:00:02.120Z",
    "direction": "received",
    "transport": "TLS",
    "local": "192.0.2.10:5061",
    "peer": "198.51.100.7:5061",
    "method": "INVITE",
    "status": 486,
    "summary": "486 Busy Here",
    "text": "SIP/2.0 486 Busy Here\nCSeq: 1 INVITE\n…",
}


class SipMessage(BaseModel):
    """One message; `method` is the request's, also of a response. Digests, SRTP keys and pressed keys are hidden."""

    time: str
    direction: Literal["sent", "received"]
    transport: str
    local: str
    peer: str
    method: str
    status: int | None
    summary: str
    text: str

    @classmethod
    def of(cls, entry: LadderEntry) -> Self:
        """The public view of a recorded message."""
        start = entry.text.partition("\n")[0]
        is_response = start.startswith("SIP/2.0 ")
        return cls(
            time=rfc3339(entry.at),
            direction="sent" if entry.is_sent else "received",
            transport=entry.transport,
            local=_written(entry.local),
            peer=_written(entry.peer),
            method=_cseq_method(entry.text) if is_response else start.partition(" ")[0],
            status=int(start[8:11]) if is_response else None,
            summary=start.removeprefix("SIP/2.0 ").removesuffix(" SIP/2.0"),
            text=entry.text,
        )


class SipLadder(BaseModel):
    """The SIP messages of a call, oldest first; the last hundred of them, 4 KiB of each."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"call_id": "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f", "messages": [MESSAGE_EXAMPLE]}
        }
    )

    call_id: str
    messages: list[SipMessage]


def _written(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _cseq_method(text: str) -> str:
    for line in text.split("\n\n", 1)[0].splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "cseq":
            return value.split()[-1] if value.split() else ""
    return ""
