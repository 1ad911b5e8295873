"""Which sender is heard: symmetric RTP with a lock (RFC 7362), so that nobody can talk into a call from elsewhere."""

Address = tuple[str, int]

PROBATION = 3


class SourceLock:
    """Decides packet by packet whose stream is played.

    The signalled address is believed at once. Behind a NAT the packets come from another one: with `symmetric` the
    first that sends three packets in sequence gets the lock, and the signalled address still may take it over. Whoever
    holds it keeps it; only the same stream (SSRC) may move to a new address. `authenticated` streams (SRTP) may always.
    """

    def __init__(self, signalled: Address, *, symmetric: bool, authenticated: bool = False) -> None:
        self.signalled = signalled
        self.address: Address | None = None
        self.ssrc: int | None = None
        self.symmetric = symmetric
        self._authenticated = authenticated
        self._candidate: tuple[Address, int] | None = None
        self._next_sequence = 0
        self._in_sequence = 0

    @property
    def destination(self) -> Address:
        """Where to send: to where the peer's packets come from, once they do."""
        return self.address or self.signalled

    def accepts(self, address: Address, ssrc: int, sequence: int) -> bool:
        """Is this packet of the stream that is played?"""
        if address == self.address and ssrc == self.ssrc:
            return True
        if not self._may_take_over(address, ssrc):
            return False
        self._watch((address, ssrc), sequence)
        if self._in_sequence < self._needed(address):
            return False
        self.address, self.ssrc = address, ssrc
        self._candidate = None
        return True

    def _may_take_over(self, address: Address, ssrc: int) -> bool:
        if address in {self.signalled, self.address}:
            return True
        return self.symmetric and (self.address is None or ssrc == self.ssrc or self._authenticated)

    def _watch(self, candidate: tuple[Address, int], sequence: int) -> None:
        follows = candidate == self._candidate and sequence == self._next_sequence
        self._in_sequence = self._in_sequence + 1 if follows else 1
        self._candidate = candidate
        self._next_sequence = (sequence + 1) % 65_536

    def _needed(self, address: Address) -> int:
        is_free = self.address is None
        return 1 if is_free and (address == self.signalled or self._authenticated) else PROBATION
