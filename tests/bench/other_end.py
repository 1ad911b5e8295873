"""The other end of a telephone under test: hand-written SIP over UDP, cheap enough to load what is measured."""

import asyncio
import re
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

LOOPBACK = "127.0.0.1"
RECEIVE_BYTES = 4 << 20
T1_SECONDS = 0.5
NO_MEDIA = 9  # the discard port, where nothing is measured of the audio
_FIELD = re.compile(rb"^(Call-ID|CSeq|From|To|Contact|Via|Record-Route)\s*:\s*(.*?)\r?$", re.IGNORECASE | re.MULTILINE)
_AUDIO = re.compile(rb"^m=audio (\d+)", re.MULTILINE)
_TARGET = re.compile(rb"<([^>]+)>")


@dataclass
class Call:
    """One call. `audio_port` is where it wants its audio, once it is answered."""

    id: str
    media_port: int
    begun: float
    answered: asyncio.Future[float]
    audio_port: int = 0
    to: str = ""
    target: str = ""
    is_over: asyncio.Event = field(default_factory=asyncio.Event)


class OtherEnd(asyncio.DatagramProtocol):
    """Calls, and takes calls. It repeats a lost INVITE, and acknowledges an answer that is repeated."""

    def __init__(self) -> None:
        self.port = 0
        self.calls: dict[str, Call] = {}
        self.taken = 0
        self._ids = count(1)
        self._run = time.monotonic_ns()

    async def open(self) -> None:
        """Bind a free port."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            own.setblocking(False)
            own.bind((LOOPBACK, 0))
            self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=own.dup())
            self.port = own.getsockname()[1]

    def close(self) -> None:
        """Free the port."""
        self._transport.close()

    def call(self, to_port: int, media_port: int = NO_MEDIA) -> Call:
        """Send an INVITE. The answer is in `Call.answered`: seconds from the INVITE to the 200."""
        call = Call(f"{next(self._ids)}-{self._run}@bench", media_port, time.perf_counter(), _future())
        call.target = f"sip:+12025550100@{LOOPBACK}:{to_port}"
        self.calls[call.id] = call
        self._invite(call, to_port, T1_SECONDS)
        return call

    def hang_up(self, call: Call, to_port: int) -> None:
        """Send a BYE; `Call.is_over` tells of its answer."""
        self._send(self._request("BYE", call, 2), to_port)

    def _invite(self, call: Call, to_port: int, again_after: float) -> None:
        if call.answered.done():
            return
        self._send(self._request("INVITE", call, 1, sdp(call.media_port)), to_port)
        if again_after < 8 * T1_SECONDS:
            asyncio.get_running_loop().call_later(again_after, self._invite, call, to_port, again_after * 2)

    def _request(self, method: str, call: Call, cseq: int, body: str = "") -> bytes:
        kind = "Content-Type: application/sdp\r\n" if body else ""
        to = call.to or f"<{call.target}>"
        branch = f"z9hG4bK{call.id.partition('@')[0]}{method}"
        return (
            f"{method} {call.target} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {LOOPBACK}:{self.port};branch={branch};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:+12025550199@{LOOPBACK}>;tag=bench\r\nTo: {to}\r\n"
            f"Call-ID: {call.id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:bench@{LOOPBACK}:{self.port}>\r\n"
            f"{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def _send(self, message: bytes, to_port: int) -> None:
        self._transport.sendto(message, (LOOPBACK, to_port))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A message came."""
        head = data.partition(b"\r\n\r\n")[0]
        fields = [(name.lower(), value) for name, value in _FIELD.findall(head)]
        one = dict(reversed(fields))
        if data.startswith(b"SIP/2.0 "):
            self._response(int(data[8:11]), one, data, addr[1])
        elif not data.startswith(b"ACK "):
            self._answer(data, fields, one, addr[1])

    def _response(self, status: int, one: dict[bytes, bytes], data: bytes, port: int) -> None:
        call = self.calls.get(one.get(b"call-id", b"").decode())
        if call is None or status < 200:
            return
        if one[b"cseq"].endswith(b"BYE"):
            self._over(call)
        elif status >= 300:
            call.to = one[b"to"].decode()
            self._send(self._request("ACK", call, 1), port)
            if not call.answered.done():
                call.answered.set_exception(ConnectionRefusedError(status))
        else:
            self._answered(call, one, data, port)

    def _answered(self, call: Call, one: dict[bytes, bytes], data: bytes, port: int) -> None:
        call.to = one[b"to"].decode()
        if (contact := _TARGET.search(one.get(b"contact", b""))) is not None:
            call.target = contact[1].decode()
        if (audio := _AUDIO.search(data)) is not None:
            call.audio_port = int(audio[1])
        self._send(self._request("ACK", call, 1), port)
        if not call.answered.done():
            call.answered.set_result(time.perf_counter() - call.begun)

    def _answer(self, data: bytes, fields: list[tuple[bytes, bytes]], one: dict[bytes, bytes], port: int) -> None:
        """Take a call, or agree to whatever is asked within one."""
        method = data.split(b" ", 1)[0]
        body = sdp(NO_MEDIA).encode() if method == b"INVITE" else b""
        known = self.calls.get(one.get(b"call-id", b"").decode())
        if known and body:
            body = sdp(known.media_port).encode()
        elif body and b";tag=" not in one[b"to"]:
            self.taken += 1
            one[b"to"] += b";tag=bench"
        elif known:
            self._over(known)
        copied = b"".join(b"Via: " + value + b"\r\n" for name, value in fields if name == b"via")
        for name in (b"From", b"To", b"Call-ID", b"CSeq"):
            copied += name + b": " + one[name.lower()] + b"\r\n"
        contact = f"Contact: <sip:bench@{LOOPBACK}:{self.port}>\r\n".encode()
        kind = b"Content-Type: application/sdp\r\n" if body else b""
        length = f"Content-Length: {len(body)}\r\n\r\n".encode()
        self._send(b"SIP/2.0 200 OK\r\n" + copied + contact + kind + length + body, port)

    def _over(self, call: Call) -> None:
        self.calls.pop(call.id, None)
        call.is_over.set()


def _future() -> asyncio.Future[float]:
    return asyncio.get_running_loop().create_future()


def sdp(port: int) -> str:
    """PCMU and telephone events at this port."""
    lines = (
        "v=0",
        f"o=- 1 1 IN IP4 {LOOPBACK}",
        "s=-",
        f"c=IN IP4 {LOOPBACK}",
        "t=0 0",
        f"m=audio {port} RTP/AVP 0 101",
    )
    rest = ("a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000", "a=ptime:20", "a=sendrecv")
    return "".join(f"{line}\r\n" for line in (*lines, *rest))


async def answers(calls: Iterable[Call], limit_seconds: float) -> list[float]:
    """The seconds that the answered ones of `calls` took; those that are refused or late are left out."""
    waiting = [call.answered for call in calls]
    await asyncio.wait(waiting, timeout=limit_seconds)
    return [one.result() for one in waiting if one.done() and not one.exception()]
