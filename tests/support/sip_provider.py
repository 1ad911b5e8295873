"""Kamailio as a provider: TLS on both sides, calls out to one phone, calls in to one worker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.sip_peers import LOOPBACK, free_port, listens, running

PEERS = Path(__file__).parents[1] / "integration" / "sip" / "peers"


@dataclass(frozen=True)
class Provider:
    """Where it takes calls: those over TLS, and those of callers who can't."""

    tls_port: int
    udp_port: int


@asynccontextmanager
async def provider(folder: Path, *, callee_port: int, worker_port: int) -> AsyncIterator[Provider]:
    """`folder` has `ca.pem`, `server.pem` and `server.key`; both ports are of TLS on loopback."""
    found = Provider(free_port(), free_port())
    gaps = {
        "tls": str(found.tls_port),
        "udp": str(found.udp_port),
        "callee": f"sip:{LOOPBACK}:{callee_port};transport=tls",
        "worker": f"sip:{LOOPBACK}:{worker_port};transport=tls",
        "folder": str(folder),
    }
    fill_gaps("provider.cfg", folder / "provider.cfg", gaps)
    fill_gaps("provider_tls.cfg", folder / "tls.cfg", gaps)
    command = ["kamailio", "-DD", "-f", str(folder / "provider.cfg"), "-Y", str(folder), "-w", str(folder)]
    command += ["-P", str(folder / "pid"), "-m", "32", "-M", "4"]
    async with running(command, folder / "provider.log", folder) as peer:
        await listens(found.tls_port, peer, "tcp")
        await asyncio.sleep(0.3)  # it listens before its workers run
        yield found


def fill_gaps(template: str, target: Path, gaps: dict[str, str]) -> None:
    """Write a template of `peers` with its `{{gaps}}` filled."""
    text = (PEERS / template).read_text()
    for gap, word in gaps.items():
        text = text.replace(f"{{{{{gap}}}}}", word)
    target.write_text(text)
