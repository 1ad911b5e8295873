"""The trunks at work, found by their name, username or addresses. What that costs does not grow with their number."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import TypeVar

from call_service.carriers.sip.line import Network, TrunkLine

K = TypeVar("K")

_Lines = dict[TrunkLine, None]  # a set that keeps its order
_Size = tuple[int, int]  # of a network: the IP version and the length of its prefix


class Roster:
    """Iterates over its lines as they were added. `moved` is told when the networks of one have changed."""

    def __init__(self) -> None:
        self._networks: dict[TrunkLine, frozenset[Network]] = {}
        self._by_name: dict[str, TrunkLine] = {}
        self._by_username: dict[str, _Lines] = {}
        # There are few sizes: one look for each finds an address. Within a size by the bits of the prefix.
        self._by_size: dict[_Size, dict[int, _Lines]] = {}

    def __iter__(self) -> Iterator[TrunkLine]:
        return iter(tuple(self._networks))

    def add(self, line: TrunkLine) -> None:
        """A trunk begins to work."""
        self._networks[line] = frozenset()
        self._by_name[line.trunk.name] = line
        if line.trunk.inbound == "digest":
            self._by_username.setdefault(line.trunk.username, {})[line] = None
        self.moved(line)

    def remove(self, line: TrunkLine) -> None:
        """It ends."""
        for network in self._networks.pop(line):
            self._leave(line, network)
        if self._by_name.get(line.trunk.name) is line:
            del self._by_name[line.trunk.name]
        if line.trunk.inbound == "digest":
            _discard(self._by_username, line.trunk.username, line)

    def moved(self, line: TrunkLine) -> None:
        """Look where it is now; lines that are not of here are none of ours."""
        before = self._networks.get(line)
        if before is None:
            return
        self._networks[line] = now = line.networks
        for network in before - now:
            self._leave(line, network)
        for network in now - before:
            of_size = self._by_size.setdefault(_size(network), {})
            of_size.setdefault(_prefix(network), {})[line] = None

    def named(self, name: str | None) -> TrunkLine | None:
        """The trunk of this name."""
        return self._by_name.get(name or "")

    def by_username(self, username: str | None) -> TrunkLine | None:
        """The first trunk whose calls prove by digest that they are from this user."""
        return next(iter(self._by_username.get(username or "", ())), None)

    @property
    def has_digest(self) -> bool:
        """Calls of some trunk may come from anywhere."""
        return bool(self._by_username)

    def at(self, host: str) -> list[TrunkLine]:
        """The trunks this IP address belongs to."""
        address = ip_address(host)
        found: _Lines = {}
        for (version, length), lines in self._by_size.items():
            if version == address.version:
                found |= lines.get(int(address) >> (address.max_prefixlen - length), {})
        return list(found)

    def _leave(self, line: TrunkLine, network: Network) -> None:
        size = _size(network)
        _discard(self._by_size[size], _prefix(network), line)
        if not self._by_size[size]:
            del self._by_size[size]


def _discard(index: dict[K, _Lines], key: K, line: TrunkLine) -> None:
    del index[key][line]
    if not index[key]:
        del index[key]


def _size(network: Network) -> _Size:
    return network.version, network.prefixlen


def _prefix(network: Network) -> int:
    return int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
