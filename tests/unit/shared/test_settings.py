"""A process with a wrong setting says which one, and does not start."""

import pytest

from project_service.settings import WebhookSettings
from shared.settings import ServiceSettings, load_settings

GOOD = {"DATABASE_URL": "postgresql://u:p@localhost/db", "INTERNAL_TOKEN_SECRET": "s" * 32}


def with_environment(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name in ("DATABASE_URL", "INTERNAL_TOKEN_SECRET", "PORT", "AMQP_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, {**GOOD, "PORT": "9000"})
    settings = load_settings(ServiceSettings)
    assert settings.port == 9000
    assert "s" * 32 not in repr(settings)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({**GOOD, "PORT": "http"}, "PORT"),
        ({**GOOD, "PORT": "70000"}, "PORT"),
        ({**GOOD, "INTERNAL_TOKEN_SECRET": "short-secret"}, "INTERNAL_TOKEN_SECRET"),
        ({"INTERNAL_TOKEN_SECRET": "s" * 32}, "DATABASE_URL"),
        ({**GOOD, "AMQP_URL": "http://x"}, "AMQP_URL"),
    ],
)
def test_a_wrong_one_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], values: dict[str, str], name: str
) -> None:
    with_environment(monkeypatch, values)
    with pytest.raises(SystemExit) as caught:
        load_settings(ServiceSettings)
    assert caught.value.code == 78
    said = capsys.readouterr().err
    assert f"setting {name}: " in said
    assert "short-secret" not in said


def test_every_setting_is_described() -> None:
    assert all(field.description for field in ServiceSettings.model_fields.values())


def test_what_does_not_go_together_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    values = {**GOOD, "ENCRYPTION_KEY": "k" * 32, "WEBHOOK_TIMEOUT_SECONDS": "60"}
    with_environment(monkeypatch, values)
    with pytest.raises(SystemExit):
        load_settings(WebhookSettings)
    assert "WEBHOOK_LEASE_SECONDS must be longer than WEBHOOK_TIMEOUT_SECONDS" in capsys.readouterr().err
