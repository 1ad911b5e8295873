"""Applies the rate limits in force to requests."""

from gateway.exchange import Exchange
from gateway.limits import Limiter, Policy, RateLimitedError
from gateway.settings import Changeable

ADDRESS, AUTH, USER, KEY = "address", "auth", "user", "key"


class Throttle:
    """Counts a request for its address, then for whom it speaks; each has a policy of its own."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._policies: dict[str, Policy] = {}

    def use(self, config: Changeable) -> None:
        """Apply these limits from now on; what has been counted stays counted."""
        quotas = {ADDRESS: config.limit_ip, AUTH: config.limit_auth, USER: config.limit_user, KEY: config.limit_key}
        self._policies = {name: Policy(name, quota.requests, quota.seconds) for name, quota in quotas.items()}

    def take(self, exchange: Exchange, name: str, subject: str) -> None:
        """Count one request.

        Raises:
            RateLimitedError: the subject has none left now.
        """
        standing = self._limiter.take(self._policies[name], subject)
        exchange.standings.append(standing)
        if standing.retry_ns:
            raise RateLimitedError(standing)
