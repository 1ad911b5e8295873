"""Signatures of what customers' servers are sent (Standard Webhooks)."""

from datetime import datetime

from standardwebhooks.webhooks import Webhook


def signed_headers(message_id: str, at: datetime, body: str, live_secrets: list[str]) -> dict[str, str]:
    """The headers of one attempt, with a signature by each live secret (`whsec_` and base64).

    `at` is in UTC. https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, at, body) for secret in live_secrets),
    }
