"""`python -m tests.support.sip_worker_process DSN PROJECT_URL TRUNK_ID FOLDER`: a worker that is called over SIP.

It prints its SIP port. Its leases last two seconds.
"""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import aiohttp

from call_service.carriers.rtp import RtpEngine
from call_service.carriers.sip import Listener, SipCarrier, Trunk
from call_service.carriers.ticker import Ticker
from call_service.inbound.directory import NumberDirectory
from call_service.inbound.reception import Reception
from call_service.projects import HttpProjectDirectory
from shared.clock import SystemClock
from shared.db import Database
from shared.tokens import InternalTokens
from tests.support.calls import SECRET
from tests.support.sip_peers import LOOPBACK
from tests.support.workers import new_worker, tools

LEASE = timedelta(seconds=2)


async def main(dsn: str, project_url: str, trunk_id: str, folder: Path) -> None:
    db = await Database.connect(dsn, "calls", max_size=4)
    rtp = RtpEngine(range(25_000, 25_020), LOOPBACK, LOOPBACK, Ticker())
    trunk = Trunk(name=trunk_id, host=LOOPBACK, pings_every=None)
    carrier = SipCarrier([trunk], rtp, (Listener("UDP", LOOPBACK, 0),))
    await carrier.open()
    async with aiohttp.ClientSession() as session:
        tokens = InternalTokens(SECRET, "call_worker", SystemClock().now)
        directory = NumberDirectory(HttpProjectDirectory(session, project_url, tokens), SystemClock())
        worker = await new_worker(db, carrier, folder, lease=LEASE, max_calls=4)
        carrier.on_call(Reception(await tools(db, carrier, folder, LEASE), worker, directory).take)
        address = carrier.address("UDP")
        assert address
        print(address[1], flush=True)
        await worker.run(LEASE.total_seconds() / 3)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])))
