"""Asks every hop of a call, from the settings to the trunks, and names the one that is broken.

It looks at the stack of `make up`, or at what the environment names: run beside a worker it takes the worker's own
settings; TALKSTACK_URL, and AUTH_URL, PROJECT_URL, CALL_URL, WEBHOOKS_URL, WORKER_URL lead to what is elsewhere. With
TALKSTACK_API_KEY it tests the trunks of the key's owner. The exit status is 1 when a hop is broken.
"""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import aiohttp
import click
import structlog
from rich.console import Console

from deploy.doctor import processes, report, servers
from deploy.doctor.hops import BrokenError, Finding, Hop, examine, look_at
from deploy.doctor.local_site import find_site
from deploy.doctor.sip_ports import sip_ports
from deploy.doctor.site import Site, worker_settings
from deploy.doctor.speech import speech
from deploy.doctor.trunks import Trunks
from deploy.local.system import VAR

SERVICES = ("auth-api", "project-api", "project-webhooks", "call-api", "gateway")
SPEECH_SECONDS = 60.0
DEFAULT_RTP = range(20_000, 21_000)


def hops(site: Site, session: aiohttp.ClientSession) -> list[Hop]:
    """In the order in which a call depends on them."""
    return [
        Hop("stack", partial(_stack, site)),
        Hop("settings", partial(servers.settings, site)),
        Hop("postgres", partial(servers.postgres, site)),
        Hop("rabbitmq", partial(servers.rabbitmq, site)),
        Hop("migrations", partial(servers.migrations, site), needs=("postgres",)),
        *(Hop(name, partial(processes.ready, session, site, name)) for name in SERVICES),
        Hop("call-worker", partial(processes.worker, session, site)),
        Hop("speech", partial(speech, site), limit_seconds=SPEECH_SECONDS),
        Hop("sip-ports", partial(sip_ports, site)),
        Hop("sip-call", partial(_loop_call, site), limit_seconds=20),
    ]


async def _stack(site: Site) -> str:
    if site.problem:
        raise BrokenError(f"{site.title}: {site.problem}", "`make up` starts it; TALKSTACK_URL names another")
    return site.title


async def _loop_call(site: Site) -> str:
    settings = worker_settings(site)
    ports = range(settings.rtp_first_port, settings.rtp_last_port + 1) if settings else DEFAULT_RTP
    try:
        from deploy.doctor.loop_call import loop_call  # noqa: PLC0415 - its packages are an extra
    except ImportError as error:
        raise BrokenError(f"SIP needs {error.name}", "pip install 'talkstack[sip,speech]'") from error
    return await loop_call(ports)


async def findings(site: Site, number: str) -> AsyncIterator[Finding]:
    """All of them, each as soon as it is known."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        async for finding in examine(hops(site, session)):
            yield finding
        trunks: list[Hop] = []

        async def listed() -> str:
            trunks.extend(await Trunks(session, site, number).hops())
            return f"{len(trunks) - 1} to test"

        yield await look_at(Hop("trunks", listed))
        async for finding in examine(trunks):
            yield finding


async def run(site: Site, number: str, console: Console | None) -> list[Finding]:
    """Look at everything; shown as it comes on `console`, if there is one."""
    found = []
    async for finding in findings(site, number):
        found.append(finding)
        if console:
            report.show(finding, console)
    return found


@click.command(help=__doc__)
@click.option("--json", "wants_json", is_flag=True, help="One JSON object instead of lines.")
@click.option("--number", envvar="NUMBER", default="", help="Each trunk's test calls this number (E.164): it rings.")
@click.option("--var", type=click.Path(path_type=Path), default=VAR, help="Folder of the stack of `make up`.")
def main(wants_json: bool, number: str, var: Path) -> None:
    # What breaks is told by the findings; logs would be in the midst of them.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.ERROR)
    site = find_site(var.resolve(), dict(os.environ))
    console = Console(soft_wrap=True, highlight=False)
    found = asyncio.run(run(site, number, None if wants_json else console))
    if wants_json:
        sys.stdout.buffer.write(report.as_json(site.title, found) + b"\n")
    else:
        console.print(f"\n{report.conclusion(found)}")
    sys.exit(any(finding.state == "broken" for finding in found))


if __name__ == "__main__":
    main()
