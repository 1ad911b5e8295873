"""A real name server on the loopback interface, whose answers a test gives."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiodns
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

# The IPv4 addresses of a name; none: there is no such name; None: silence.
Answers = Callable[[str], Sequence[str] | None]


class _NameServer(asyncio.DatagramProtocol):
    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        query = dns.message.from_wire(data)
        [question] = query.question
        reply = dns.message.make_response(query)
        if question.rdtype == dns.rdatatype.A:
            addresses = self._answers(question.name.to_text(omit_final_dot=True))
            if addresses is None:
                return
            if addresses:
                reply.answer.append(dns.rrset.from_text(question.name, 0, "IN", "A", *addresses))
            else:
                reply.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(reply.to_wire(), address)


@asynccontextmanager
async def names_from(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Resolvers made from now on ask a name server that answers so, not the machine's."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _NameServer(answers), local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    with monkeypatch.context() as patch:
        patch.setattr(aiodns, "DNSResolver", partial(aiodns.DNSResolver, nameservers=[f"127.0.0.1:{port}"]))
        try:
            yield
        finally:
            transport.close()
