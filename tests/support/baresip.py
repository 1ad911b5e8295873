"""baresip: a softphone driven over its control socket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.certificates import write_certificates
from tests.support.sip_peers import LOOPBACK, free_media_port, free_port, listens, running, until

TEMPLATE = Path(__file__).parents[1] / "integration" / "sip" / "peers" / "baresip.config"


class Baresip:
    """One softphone. UDP and TCP are on `port`, TLS on the next one."""

    def __init__(self, port: int, writer: asyncio.StreamWriter) -> None:
        self.port = port
        self.events: list[dict[str, Any]] = []
        self._writer = writer

    def tell(self, command: str, words: str = "") -> None:
        """One command, in a netstring."""
        text = json.dumps({"command": command, "params": words})
        self._writer.write(f"{len(text)}:{text},".encode())

    async def sees(self, kind: str, seconds: float = 10.0) -> dict[str, Any]:
        """The first event of this type."""
        await until(lambda: any(event.get("type") == kind for event in self.events), seconds)
        return next(event for event in self.events if event.get("type") == kind)

    def keys(self) -> str:
        """The keys that were pressed towards it."""
        return "".join(event["param"] for event in self.events if event.get("type") == "CALL_DTMF_START")

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Collect events until the socket closes."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                size = int((await reader.readuntil(b":"))[:-1])
                self.events.append(json.loads(await reader.readexactly(size)))
                await reader.readexactly(1)


@asynccontextmanager
async def baresip(
    folder: Path,
    user: str,
    transport: str,
    encryption: str = "",
    answers: bool = True,
    says: Path | None = None,
) -> AsyncIterator[Baresip]:
    """A softphone for `user`; `encryption` is baresip's `mediaenc`.

    It plays back what it hears, or `says` a file (WAV, 8 kHz, mono), from the start of each call on. Certificates
    that are in `folder` already are used.
    """
    if not (folder / "server.pem").exists():
        write_certificates(folder)
    (folder / "both.pem").write_text((folder / "server.key").read_text() + (folder / "server.pem").read_text())
    port, control, media = free_port(row=2), free_port(), free_media_port()  # the next one is that of TLS
    gaps = {"address": LOOPBACK, "udp": str(port), "control": str(control), "folder": str(folder)}
    gaps |= {"transport": transport, "media": f"{media}-{media + 40}"}
    gaps["source"] = f"aufile,{says}" if says else "aubridge,nil"
    text = TEMPLATE.read_text()
    for gap, word in gaps.items():
        text = text.replace(f"{{{{{gap}}}}}", word)
    (folder / "config").write_text(text)
    options = f";regint=0;answermode={'auto' if answers else 'manual'};audio_codecs=PCMU/8000/1"
    if encryption:
        options += f";mediaenc={encryption}"
    (folder / "accounts").write_text(f"<sip:{user}@{LOOPBACK};transport={transport}>{options}\n")
    (folder / "contacts").write_text("")
    async with running(["baresip", "-f", str(folder), "-v"], folder / "baresip.log", folder) as peer:
        try:
            await listens(control, peer, "tcp")
            reader, writer = await asyncio.open_connection(LOOPBACK, control)
        except (TimeoutError, OSError) as error:
            error.add_note(peer.output[-3_000:])
            raise
        phone = Baresip(port, writer)
        reading = asyncio.create_task(phone.read(reader))
        try:
            yield phone
        except BaseException as error:
            error.add_note(f"{phone.events}\n{peer.output[-4_000:]}")
            raise
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
