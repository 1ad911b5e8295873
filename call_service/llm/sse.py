"""Server-sent events, as far as chat endpoints use them (WHATWG HTML, section 9.2)."""

from collections.abc import AsyncIterable, AsyncIterator

from call_service.llm.errors import LlmProtocolError


async def data_lines(chunks: AsyncIterable[bytes], max_bytes: int) -> AsyncIterator[str]:
    """The payload of every `data:` line. Chat endpoints send one line an event, so lines are events.

    Raises:
        LlmProtocolError: more than `max_bytes` came in all, or the text is not UTF-8.
    """
    pending = b""
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        if received > max_bytes:
            raise LlmProtocolError("too large")
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield _text(line)
    if pending.startswith(b"data:"):
        yield _text(pending)


def _text(line: bytes) -> str:
    try:
        return line[5:].decode().strip()
    except UnicodeDecodeError as error:
        raise LlmProtocolError("no UTF-8") from error
