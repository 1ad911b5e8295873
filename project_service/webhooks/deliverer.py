"""The worker's engine: claims due deliveries, sends them, settles them."""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import asyncpg
import structlog
from cryptography.exceptions import InvalidTag
from prometheus_client import Counter as MetricCounter
from prometheus_client import Histogram

from project_service.webhooks import gauges, queue
from project_service.webhooks.events import publish_disabled
from project_service.webhooks.queue import Claimed
from project_service.webhooks.schedule import Outcome, Verdict, decide, parse_retry_after
from shared.clock import Clock
from shared.db import Database, DatabaseUnavailableError, Tx
from shared.http_client import DeliveryFailedError, GuardedClient, InvalidUrlError
from shared.measuring import measure_forever
from shared.secret_box import SecretBox
from shared.signatures import signed_headers

log = structlog.get_logger(__name__)

ATTEMPTS = MetricCounter("talkstack_webhook_attempts", "Attempts to deliver a webhook.", ["result"])
SECONDS = Histogram("talkstack_webhook_attempt_seconds", "Time of one attempt.", buckets=(0.05, 0.2, 0.5, 1, 2, 5, 15))
# Connections of the pool for results. Hundreds may come at once: they wait here, where it takes as long as it takes.
SETTLING = 6
DATABASE_ERRORS = (DatabaseUnavailableError, asyncpg.PostgresError)


class Deliverer:
    """Runs up to `concurrency` deliveries at a time: a quarter of them for one tenant, whose endpoints may all hang.

    A delivery whose worker dies, or can't write its result, is claimed again when `lease` is over: at least once.
    """

    def __init__(
        self,
        db: Database,
        client: GuardedClient,
        secrets: SecretBox,
        clock: Clock,
        *,
        concurrency: int,
        lease: timedelta,
        poll: timedelta = timedelta(seconds=1),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._db = db
        self._client = client
        self._secrets = secrets
        self._clock = clock
        self._concurrency = concurrency
        self._per_tenant = math.ceil(concurrency / 4)
        self._lease = lease
        self._poll_seconds = poll.total_seconds()
        self._jitter = jitter
        self._settling = asyncio.Semaphore(SETTLING)
        self._running: dict[asyncio.Task[None], str] = {}
        self._claiming = asyncio.Lock()
        self._wake = asyncio.Event()
        self._is_draining = False

    async def run(self) -> None:
        """Until cancelled: wakes by NOTIFY, and polls for what has become due."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._db.listen(f"{self._db.schema}_webhooks", self._wake_in, self._wake.set))
            group.create_task(self._claim_forever())
            group.create_task(measure_forever(lambda: gauges.measure(self._db, self._lease)))

    async def drain(self) -> None:
        """Claim nothing more and wait for what is under way."""
        self._is_draining = True
        async with self._claiming:
            under_way = set(self._running)
        if under_way:
            await asyncio.wait(under_way)

    async def close(self) -> None:
        """Cut what is still under way; it is delivered again when the lease is over."""
        self._is_draining = True
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _wake_in(self, seconds: str) -> None:
        asyncio.get_running_loop().call_later(float(seconds), self._wake.set)

    async def _claim_forever(self) -> None:
        while True:
            self._wake.clear()
            async with self._claiming:
                for delivery in await self._claim():
                    task = asyncio.create_task(self._deliver(delivery))
                    self._running[task] = delivery.project_id
                    task.add_done_callback(self._finished)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._wake.wait()

    def _finished(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._wake.set()

    async def _claim(self) -> list[Claimed]:
        free = self._concurrency - len(self._running)
        if not free or self._is_draining:
            return []
        try:
            return await queue.claim(self._db, Counter(self._running.values()), free, self._lease, self._per_tenant)
        except DATABASE_ERRORS:
            log.warning("webhooks_unclaimable", exc_info=True)
            return []

    async def _deliver(self, claimed: Claimed) -> None:
        started, at = asyncio.get_running_loop().time(), self._clock.now()
        outcome = await self._send(claimed)
        duration = timedelta(seconds=asyncio.get_running_loop().time() - started)
        verdict = decide(outcome, claimed.attempts + 1, self._jitter())
        ATTEMPTS.labels(verdict.status).inc()
        SECONDS.observe(duration.total_seconds())
        try:
            async with self._settling, self._db.transaction() as tx:
                await queue.log_attempt(tx, claimed, at, outcome, duration)
                await _settle(tx, claimed, outcome, verdict)
        except DATABASE_ERRORS:
            log.warning("webhook_unsettled", delivery_id=claimed.id, exc_info=True)

    async def _send(self, claimed: Claimed) -> Outcome:
        try:
            secrets = [self._secrets.open_text(sealed) for sealed in claimed.sealed_secrets]
            headers = signed_headers(claimed.id, self._clock.now(), claimed.body, secrets)
            answer = await self._client.post(claimed.url, claimed.body.encode(), headers)
            retry_after = parse_retry_after(answer.headers.get("Retry-After"), self._clock.now())
        except DeliveryFailedError as error:
            return Outcome(None, error.cause)
        except InvalidUrlError:
            return Outcome(None, "invalid_url")
        except InvalidTag:
            log.error("webhook_secret_undecryptable", project_id=claimed.project_id)  # noqa: TRY400 - no trace needed
            return Outcome(None, "secret_undecryptable")
        except Exception:  # a bug of ours: it must not be tried for ever
            log.exception("webhook_crashed", delivery_id=claimed.id)
            return Outcome(None, "internal_error")
        return Outcome(answer.status, retry_after=retry_after)


async def _settle(tx: Tx, claimed: Claimed, outcome: Outcome, verdict: Verdict) -> None:
    """The endpoint goes first: disabling it touches all of its deliveries, also those that others are settling."""
    is_hopeless = await queue.note_result(tx, claimed.project_id, is_success=outcome.is_success)
    await queue.settle(tx, claimed, verdict)
    if is_hopeless or verdict.disables_endpoint:
        reason = "gone" if verdict.disables_endpoint else "failing"
        if await queue.disable(tx, claimed, reason):
            await publish_disabled(tx, claimed, reason)
