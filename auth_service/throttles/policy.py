"""How long the next attempt has to wait: a pure function, so that it can be reasoned about."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Policy:
    """`free` attempts cost nothing; each further one doubles the pause from `base` up to `cap`.

    There is no lock-out: who waits `cap` may try again. After `forgotten_after` without an attempt all is forgotten.
    """

    free: int
    base: timedelta
    cap: timedelta
    forgotten_after: timedelta = timedelta(hours=1)

    def pause(self, attempts: int) -> timedelta:
        """The pause after so many attempts."""
        if attempts < self.free:
            return timedelta(0)
        return min(self.cap, self.base * (1 << min(attempts - self.free, 32)))


@dataclass(frozen=True, slots=True)
class State:
    """What is known about one throttled key."""

    attempts: int
    blocked_until: datetime
    updated_at: datetime


def next_state(policy: Policy, state: State, now: datetime) -> State | None:
    """The state after an attempt at `now`, or None when it has to wait until `state.blocked_until`."""
    if now < state.blocked_until:
        return None
    attempts = 1 if now - state.updated_at > policy.forgotten_after else state.attempts + 1
    return State(attempts, now + policy.pause(attempts), now)
