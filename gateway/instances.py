"""The instances of a service: taken in turn, left out while they fail (passive health), tried again by one request."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# So many failures in a row, of an instance that can be reached, and it is left out.
FAILURES = 5
_LONGEST_EJECTION = 16


@dataclass(slots=True)
class Instance:
    """One process of a service. `ejected_until` is monotonic time; `ejections` counts those without a success since."""

    base_url: str
    failures: int = 0
    ejections: int = 0
    ejected_until: float = 0.0
    is_on_trial: bool = False


class Instances:
    """Decides who is asked next. An ejection lasts `ejection_seconds`, twice as long after each trial that failed."""

    def __init__(
        self, base_urls: Sequence[str], ejection_seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._instances = [Instance(url) for url in base_urls]
        self._ejection_seconds = ejection_seconds
        self._monotonic = monotonic
        self._turn = 0

    def replace(self, base_urls: Sequence[str]) -> None:
        """Use these from now on; what is known of one that stays is kept."""
        known = {instance.base_url: instance for instance in self._instances}
        self._instances = [known.get(url) or Instance(url) for url in base_urls]

    def candidates(self) -> list[Instance]:
        """Every instance once, beginning with the next in turn; ejected ones last, since all may be."""
        count = len(self._instances)
        self._turn = (self._turn + 1) % count
        in_turn = self._instances[self._turn :] + self._instances[: self._turn]
        return sorted(in_turn, key=self._is_left_out)

    def _is_left_out(self, instance: Instance) -> bool:
        return bool(instance.ejections) and (instance.is_on_trial or self._monotonic() < instance.ejected_until)

    def begin(self, instance: Instance) -> None:
        """A request goes to it; of one that was ejected, it is the trial."""
        instance.is_on_trial = bool(instance.ejections)

    def succeeded(self, instance: Instance) -> None:
        instance.failures = instance.ejections = 0
        instance.is_on_trial = False

    def failed(self, instance: Instance, *, is_useless: bool = False) -> None:
        """`is_useless`: there is no need to see more failures."""
        instance.failures += 1
        instance.is_on_trial = False
        if is_useless or instance.ejections or instance.failures >= FAILURES:
            seconds = self._ejection_seconds * min(2**instance.ejections, _LONGEST_EJECTION)
            instance.ejected_until = self._monotonic() + seconds
            instance.ejections += 1

    def undecided(self, instance: Instance) -> None:
        """The request ended for a reason that says nothing about the instance."""
        instance.is_on_trial = False


class RetryBudget:
    """Each request earns a fifth of a retry: a service in trouble gets at most 20 % more requests for it."""

    def __init__(self, *, share: float = 0.2, reserve: float = 10, most: float = 100) -> None:
        self._share = share
        self._most = most
        self._left = reserve

    def earn(self) -> None:
        self._left = min(self._most, self._left + self._share)

    def spend(self) -> bool:
        """May a request be repeated now?"""
        if self._left < 1:
            return False
        self._left -= 1
        return True
