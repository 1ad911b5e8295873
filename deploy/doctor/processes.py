"""The services, the gateway and the workers, by what they say of themselves."""

import aiohttp
import orjson
from prometheus_client.parser import text_string_to_metric_families

from deploy.doctor.hops import BrokenError, SkippedError
from deploy.doctor.site import Site

TIMEOUT = aiohttp.ClientTimeout(total=5)
SLOTS, LIVE = "talkstack_worker_call_slots", "talkstack_worker_live_calls"


async def ready(session: aiohttp.ClientSession, site: Site, name: str) -> str:
    """Every instance of a process is ready."""
    urls = _urls(site, name)
    for url in urls:
        await _ready(session, name, url)
    return f"ready at {', '.join(urls)}"


async def worker(session: aiohttp.ClientSession, site: Site) -> str:
    """Every worker is ready, and one of them has a free slot."""
    urls = _urls(site, "call-worker")
    slots = live = 0
    for url in urls:
        await _ready(session, "call-worker", url)
        found = await _gauges(session, url)
        slots, live = slots + found.get(SLOTS, 0), live + found.get(LIVE, 0)
    if slots <= live:
        hint = "start more workers, or raise WORKER_MAX_CALLS where there are cores to spare (docs/performance.md)"
        raise BrokenError(f"all {slots} slots are taken: calls wait", hint)
    return f"{slots - live} of {slots} slots are free"


def _urls(site: Site, name: str) -> tuple[str, ...]:
    if site.problem:
        raise SkippedError(site.problem)
    process = site.process(name)
    if not process.urls:
        raise SkippedError("its address is unknown here" if process.env is None else "it is part of the one process")
    return process.urls


async def _ready(session: aiohttp.ClientSession, name: str, url: str) -> None:
    logs = f"`make logs NAME={name}`, or its container's, says why"
    try:
        async with session.get(f"{url}/health/ready", timeout=TIMEOUT) as response:
            status, body = response.status, await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise BrokenError(f"nothing answers at {url}: {str(error) or type(error).__name__}", logs) from error
    if status == 200:
        return
    raise BrokenError(f"{url}/health/ready answers {status}: {_failed(body)}", f"mend what it names first; {logs}")


def _failed(body: bytes) -> str:
    """Which resources aren't usable, in the words of the health page."""
    try:
        answer = orjson.loads(body)
        bad = [f"{name}: {state}" for name, state in answer["checks"].items() if state != "ok"]
        return ", ".join(bad) or str(answer["status"])
    except (orjson.JSONDecodeError, KeyError, AttributeError, TypeError):
        return body[:100].decode(errors="replace")


async def _gauges(session: aiohttp.ClientSession, url: str) -> dict[str, int]:
    async with session.get(f"{url}/metrics", timeout=TIMEOUT) as response:
        text = await response.text()
    return {
        sample.name: int(sample.value)
        for family in text_string_to_metric_families(text)
        if family.name in {SLOTS, LIVE}
        for sample in family.samples
    }
