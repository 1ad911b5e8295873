"""Hears from auth_service which credentials are over, so that they are refused, and their streams end, in a second."""

import structlog

from gateway.access_tokens import AccessTokens
from gateway.api_keys import ApiKeys
from gateway.streams import OpenStreams
from shared.amqp import AmqpBus
from shared.bus import BrokerUnavailableError, EventBus
from shared.events import Event
from shared.ids import new_id

log = structlog.get_logger(__name__)

SESSION_REVOKED = "auth.session.revoked"
API_KEY_REVOKED = "auth.api_key.revoked"
# The broker may be away for so long without a revocation being missed.
QUEUE_EXPIRES_SECONDS = 600


class Revocations:
    """A queue of this process alone, because each one has caches of its own.

    The broker may be away when the gateway starts: that delays revocations, and is no reason to serve nothing.
    """

    def __init__(
        self,
        access_tokens: AccessTokens,
        api_keys: ApiKeys,
        streams: OpenStreams,
        bus: EventBus | None,
        amqp_url: str,
    ) -> None:
        self._access_tokens = access_tokens
        self._api_keys = api_keys
        self._streams = streams
        self._bus = bus
        self._amqp_url = amqp_url
        self._own_bus: AmqpBus | None = None
        self._is_subscribed = False

    async def subscribe(self) -> bool:
        """Subscribe unless that is done; False when the broker is away. The bus restores it after a reconnect."""
        if self._is_subscribed:
            return True
        try:
            if self._bus is None:
                self._bus = self._own_bus = await AmqpBus.connect(self._amqp_url, patience_seconds=1)
            await self._bus.subscribe(
                f"gateway.revocations.{new_id()}",
                [SESSION_REVOKED, API_KEY_REVOKED],
                self._on_event,
                expires_seconds=QUEUE_EXPIRES_SECONDS,
            )
        except BrokerUnavailableError as error:
            log.warning("revocations_not_subscribed", cause=error.message)
            return False
        self._is_subscribed = True
        return True

    async def _on_event(self, event: Event) -> None:
        if event.type == SESSION_REVOKED:
            credential = str(event.data["session_id"])
            self._access_tokens.revoke_session(credential)
        else:
            credential = str(event.data["key_sha256"])
            self._api_keys.revoke(credential)
        self._streams.end_of(credential)

    async def close(self) -> None:
        """Close what was opened here."""
        if self._own_bus is not None:
            await self._own_bus.close()
