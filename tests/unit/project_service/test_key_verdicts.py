"""What a vendor's answer says about a key."""

import pytest

from project_service.provider_keys.trying import verdict


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        (200, b"{}", "works"),
        (204, b"", "works"),
        (401, b"", "refused"),
        (403, b"[]", "refused"),
        (401, b'{"detail": {"status": "invalid_api_key"}}', "refused"),
        (401, b'{"detail": {"status": "missing_permissions", "message": "user_read"}}', "works"),
        (302, b"", "unclear"),
        (404, b"", "unclear"),
        (429, b"", "unclear"),
        (500, b"<html>", "unclear"),
    ],
)
def test_a_status_is_read_as_the_vendors_mean_it(status: int, body: bytes, result: str) -> None:
    assert verdict(status, body) == result
