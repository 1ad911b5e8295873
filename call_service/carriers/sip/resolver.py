"""Where a SIP URI leads: RFC 3263 (SRV, then A and AAAA), with the hosts that failed lately at the end."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from random import Random
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver

from call_service.carriers.sip.flow import Address
from call_service.carriers.sip.syntax import SipUri
from shared.http_client import known_addresses_of

MAX_TARGETS = 8
DNS_SECONDS = 3.0
AVOID = timedelta(seconds=60)
MAX_AVOIDED = 1_000


@dataclass(frozen=True, slots=True)
class Target:
    """One place to send to. Its certificate must be for `name` (RFC 5922): the name asked for, not that of the SRV."""

    transport: str  # "UDP", "TCP" or "TLS"
    address: Address
    name: str


@dataclass(frozen=True, slots=True)
class Service:
    """An SRV record."""

    priority: int
    weight: int
    host: str
    port: int


class Lookup(Protocol):
    """The records the resolver needs; no record is an empty list."""

    async def services(self, name: str) -> list[Service]:
        """SRV."""

    async def addresses(self, host: str) -> list[str]:
        """A, then AAAA."""


class DnsLookup:
    """A `Lookup` by the system's name servers; addresses also from its hosts file."""

    def __init__(self, resolver: dns.asyncresolver.Resolver | None = None) -> None:
        self._resolver = resolver

    async def services(self, name: str) -> list[Service]:
        try:
            if self._resolver is None:
                self._resolver = dns.asyncresolver.Resolver()
                self._resolver.cache = dns.resolver.LRUCache()
            found = await self._resolver.resolve(name, "SRV", lifetime=DNS_SECONDS)
        except (dns.exception.DNSException, OSError):
            return []
        return [Service(one.priority, one.weight, one.target.to_text(omit_final_dot=True), one.port) for one in found]

    async def addresses(self, host: str) -> list[str]:
        return await known_addresses_of(host)


class Resolver:
    """Finds targets that we `may_reach`. `random` spreads the load by the weights of the SRV records."""

    def __init__(
        self,
        lookup: Lookup,
        random: Random,
        now: Callable[[], float],
        may_reach: Callable[[str], bool] = lambda _address: True,
    ) -> None:
        self._may_reach = may_reach
        self._lookup = lookup
        self._random = random
        self._now = now
        self._avoided: dict[Address, float] = {}

    def avoid(self, address: Address) -> None:
        """It failed: try others first for a minute."""
        if len(self._avoided) >= MAX_AVOIDED:
            self._avoided.clear()
        self._avoided[address] = self._now() + AVOID.total_seconds()

    def trust(self, address: Address) -> None:
        """It answered."""
        self._avoided.pop(address, None)

    async def resolve(self, uri: SipUri, transport: str | None = None, *, server_name: str = "") -> list[Target]:
        """Targets of `uri`, best first; empty when the name does not exist. `transport` overrides the URI's.

        `server_name` is whom the certificate is for where the URI has an address: hardly one is for an address.
        """
        name = transport or (uri.params.get("transport") or "").upper()
        chosen = "TLS" if uri.scheme == "sips" else name or "UDP"
        if uri.port or _is_address(uri.host):
            port = uri.port or (5061 if chosen == "TLS" else 5060)
            found = [Address(host, port) for host in await self._addresses(uri.host)]
        else:
            found = await self._by_service(uri.host, chosen)
        unique = [one for one in dict.fromkeys(found) if self._may_reach(one.host)][:MAX_TARGETS]
        certified = server_name if server_name and _is_address(uri.host) else uri.host
        return self.preferred([Target(chosen, address, certified) for address in unique])

    def preferred(self, targets: list[Target]) -> list[Target]:
        """The same targets, those that failed lately at the end."""
        bad = {address for address, until in self._avoided.items() if until > self._now()}
        return sorted(targets, key=lambda target: target.address in bad)

    async def _by_service(self, host: str, transport: str) -> list[Address]:
        service = {"TLS": "_sips._tcp", "TCP": "_sip._tcp"}.get(transport, "_sip._udp")
        records = await self._lookup.services(f"{service}.{host}")
        if not records:
            port = 5061 if transport == "TLS" else 5060
            return [Address(address, port) for address in await self._addresses(host)]
        ordered = self._ordered(records)[:MAX_TARGETS]
        found = await asyncio.gather(*(self._addresses(record.host) for record in ordered))
        return [
            Address(address, record.port)
            for record, addresses in zip(ordered, found, strict=True)
            for address in addresses
        ]

    async def _addresses(self, host: str) -> list[str]:
        return [host] if _is_address(host) else await self._lookup.addresses(host)

    def _ordered(self, records: Iterable[Service]) -> list[Service]:
        """By priority, within it at random by weight (RFC 2782)."""
        return sorted(
            records, key=lambda record: (record.priority, -(self._random.random() ** (1 / max(record.weight, 0.01))))
        )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
