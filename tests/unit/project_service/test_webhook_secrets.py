"""Signing secrets and signatures (Standard Webhooks)."""

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from project_service.webhooks.secrets import new_secret
from shared.signatures import signed_headers


def test_secrets_are_random_and_have_the_standards_form() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert first.startswith("whsec_")
    assert len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) == 24


def test_a_message_verifies_with_each_live_secret_and_no_other() -> None:
    secrets, body = [new_secret(), new_secret()], '{"type":"call.ended","text":"Grüße"}'
    headers = signed_headers("msg_1", datetime.now(UTC), body, secrets)
    for secret in secrets:
        assert Webhook(secret).verify(body, headers)["type"] == "call.ended"
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secrets[0]).verify(body + " ", headers)
