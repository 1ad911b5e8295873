"""Each trunk of the owner of an API key, tested by a worker (`POST /trunk/{id}/test`)."""

import asyncio
import re
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import orjson

from deploy.doctor.hops import BrokenError, Hop, SkippedError
from deploy.doctor.site import Site, worker_settings
from shared.http_client import is_public, known_addresses_of

TIMEOUT = aiohttp.ClientTimeout(total=15)
POLL_SECONDS = 0.5
TEST_SECONDS = 150.0
MAX_PAGES = 100

_WRONG_ACCOUNT = "the trunk refuses username, password or realm: PUT /trunk/{id} with the right ones"
_HINTS = {
    "dns": "check `host`: it has no address, or a private one while TRUNK_ALLOW_PRIVATE is false",
    "transport": "check host, port and transport; or a firewall between here and there drops it",
    "tls": "its certificate isn't believed: SIP_CA_FILE for a private authority, or the name in `host` isn't its name",
    "registration": "check `register` and the account on the trunk's side",
    "options": "nothing comes back: the trunk ignores our address (allow it there), or a firewall drops the answers",
    "invite": "look the code up in docs/connecting-trunks.md; GET /call/{call_id}/sip shows the messages of a call",
    "media": "signalling works, audio doesn't come back: open the RTP range (UDP), set SIP_ADVERTISED_ADDRESS",
}
_INVITE_HINTS = {
    "401": _WRONG_ACCOUNT,
    "407": _WRONG_ACCOUNT,
    "403": "the trunk forbids it: our address or caller id isn't allowed there, or there is no credit",
    "404": "the trunk doesn't know the number: check its format (E.164 with +) and the route on its side",
    "488": "no common codec or encryption: allow PCMU or PCMA there, and check `srtp`",
    "503": "the trunk is overloaded or limits us: lower callsPerSecond and maxConcurrentCalls",
}


@dataclass(frozen=True, slots=True)
class Trunks:
    """The public API, with an API key; `number` is whom to call in a test, if anybody."""

    session: aiohttp.ClientSession
    site: Site
    number: str = ""

    async def hops(self) -> list[Hop]:
        """A hop for each trunk, and one for the address they are told.

        Raises:
            BrokenError: they can't be listed.
            SkippedError: there is no key, or no trunk.
        """
        if self.site.problem:
            raise SkippedError(self.site.problem)
        if not self.site.key:
            raise SkippedError("with TALKSTACK_API_KEY set (scopes calls:read, calls:write) its owner's are tested")
        trunks = await self._all()
        if not trunks:
            raise SkippedError("the key's owner has none: docs/connecting-trunks.md")
        address = Hop("sip-address", partial(self._address, [trunk["host"] for trunk in trunks]))
        return [address, *(self._hop(trunk) for trunk in trunks)]

    def _hop(self, trunk: dict[str, Any]) -> Hop:
        return Hop(f"trunk {trunk['name']}", partial(self._test, trunk), limit_seconds=TEST_SECONDS)

    async def _address(self, hosts: list[str]) -> str:
        """A trunk on the internet must be told an address on the internet."""
        settings = worker_settings(self.site)
        if settings is None:
            raise SkippedError("the worker's settings are not known here")
        told = str(settings.sip_advertised_address or settings.sip_address)
        public = [host for host in hosts if all(map(is_public, await known_addresses_of(host)))]
        if public and not is_public(told):
            hint = "set SIP_ADVERTISED_ADDRESS to the public address, and forward SIP_PORT and the RTP range to here"
            raise BrokenError(f"{', '.join(public)} would be told to send audio to {told}, a private address", hint)
        return f"trunks are told {told}"

    async def _all(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        query = "?limit=100"
        for _ in range(MAX_PAGES):
            page = await self._ask("GET", f"/trunk{query}")
            found += page["data"]
            if not page["next_cursor"]:
                break
            query = f"?limit=100&cursor={page['next_cursor']}"
        return found

    async def _test(self, trunk: dict[str, Any]) -> str:
        path = f"/trunk/{trunk['id']}/test"
        test = await self._ask("POST", path, {"number": self.number} if self.number else {})
        while test["status"] in {"waiting", "running"}:
            await asyncio.sleep(POLL_SECONDS)
            test = await self._ask("GET", f"{path}/{test['id']}")
        if test["status"] == "expired":
            raise BrokenError("no worker took the test", "workers are dead or full: see call-worker above")
        for step in test["steps"]:
            if not step["ok"]:
                raise BrokenError(f"{step['name']}: {step['detail']}", hint_for(step["name"], step["detail"]))
        return ", ".join(f"{step['name']}: {step['detail']}" for step in test["steps"])

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"x-api-key": self.site.key}
        try:
            async with self.session.request(
                method, self.site.url + path, json=body, headers=headers, timeout=TIMEOUT
            ) as response:
                status, answer = response.status, orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            raise BrokenError(f"{method} {path}: {str(error) or type(error).__name__}", "see gateway above") from error
        if status == 409 and answer.get("code") == "trunk_test_running":
            raise SkippedError("another test of it is running: ask again in a minute")
        if status >= 400:
            hint = "check TALKSTACK_API_KEY and its scopes" if status in {401, 403} else ""
            raise BrokenError(f"{method} {path} answers {status}: {answer.get('message', answer)}", hint)
        return answer


def hint_for(step: str, detail: str) -> str:
    """What to do about a failed step of a test, by its name and the SIP status in its text."""
    code = (re.findall(r"\b[3-6]\d\d\b", detail) or [""])[0]
    if step == "registration" and code in {"401", "403", "407"}:
        return _WRONG_ACCOUNT
    if step == "invite" and code in _INVITE_HINTS:
        return _INVITE_HINTS[code]
    return _HINTS.get(step, "")
