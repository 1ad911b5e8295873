"""docker-compose.yml and the local start set what the services read, and nothing else."""

import re
import subprocess
import sys
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from auth_service.settings import AuthSettings
from call_service.settings import CallApiSettings, WorkerSettings
from deploy.local import services
from deploy.local.services import SERVICES, Wiring, common_env, service_units
from deploy.local.system import ROOT
from gateway.settings import GatewaySettings
from project_service.settings import ProjectSettings, WebhookSettings
from shared.settings import ProcessSettings, load_settings

SETTINGS: dict[str, type[ProcessSettings]] = {
    "auth-api": AuthSettings,
    "project-api": ProjectSettings,
    "project-webhooks": WebhookSettings,
    "call-api": CallApiSettings,
    "call-worker": WorkerSettings,
    "gateway": GatewaySettings,
}
# What one service needs, the services beside it do not read.
SHARED_BY_ALL = {"PUBLIC_URL", "PROJECT_URL", "INTERNAL_TOKEN_SECRET", "AMQP_URL", "LOG_LEVEL"}
FROM_THE_USER = {
    "INTERNAL_TOKEN_SECRET": "t" * 43,
    "ENCRYPTION_KEY": "e" * 43,
    "RABBITMQ_PASSWORD": "r",
    "AUTH_DATABASE_PASSWORD": "a",
    "PROJECTS_DATABASE_PASSWORD": "p",
    "CALLS_DATABASE_PASSWORD": "c",
    "POSTGRES_PASSWORD": "s",
}


def compose(**user_env: str) -> dict[str, Any]:
    """The file as Compose reads it: a default may hold a variable with a default (Compose spec, interpolation)."""
    text, given, is_filled = (ROOT / "docker-compose.yml").read_text(), FROM_THE_USER | user_env, True
    while is_filled:
        text, is_filled = re.subn(
            r"\$\{(\w+)(?::[-?]([^${}]*))?\}", lambda match: given.get(match[1], match[2] or ""), text
        )
    document: dict[str, Any] = YAML(typ="safe").load(text)
    return document


def image_env(kind: str) -> dict[str, str]:
    recipe = (ROOT / f"deploy/images/{kind}.Dockerfile").read_text().replace("\\\n", " ")
    instruction = re.search(r"^ENV (.*)$", recipe, re.MULTILINE)
    assert instruction is not None
    return dict(part.split("=", 1) for part in instruction[1].split())


def names_read_by(settings: type[ProcessSettings]) -> set[str]:
    return {name.upper() for name in settings.model_fields}


def load(settings: type[ProcessSettings], env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> ProcessSettings:
    """The settings as a process with exactly this environment would load them."""
    with monkeypatch.context() as patch:
        patch.setattr("os.environ", env)
        return load_settings(settings)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"PORT": "9000"}, "http://127.0.0.1:9000"),
        ({"PORT": "9000", "PUBLIC_URL": "https://calls.example.com"}, "https://calls.example.com"),
    ],
)
def test_the_public_address_follows_the_port(given: dict[str, str], url: str) -> None:
    gateway = compose(**given)["services"]["gateway"]
    assert gateway["environment"]["PUBLIC_URL"] == url
    assert gateway["ports"] == [f"127.0.0.1:{given.get('PORT', '8080')}:8080"]


def test_compose_is_valid() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SETTINGS)
def test_a_container_sets_what_its_service_reads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = compose()["services"][name]
    known = names_read_by(SETTINGS[name])
    assert set(service["environment"]) - SHARED_BY_ALL <= known
    kind = service["image"].removeprefix("talkstack-")
    env = {**image_env(kind), **{key: str(value or "") for key, value in service["environment"].items()}}
    settings = load(SETTINGS[name], env, monkeypatch)
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_container_has_the_code_and_packages_of_its_command(name: str) -> None:
    service = compose()["services"][name]
    kind = service["image"].removeprefix("talkstack-")
    recipe = (ROOT / f"deploy/images/{kind}.Dockerfile").read_text()
    package = service["command"][0]
    assert f"COPY {package} /app/{package}" in recipe
    assert "COPY shared /app/shared" in recipe
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{path}" for path in re.findall(r"^COPY (?!--)(\S+)", recipe, re.MULTILINE)} <= set(ignored)


@pytest.mark.parametrize("name", SETTINGS)
def test_containers_keep_files_only_on_volumes(name: str) -> None:
    """With a read-only root, a folder that a service writes to has to be a volume."""
    service = compose()["services"][name]
    mounted = {volume.split(":")[1] for volume in service.get("volumes", [])}
    fields = names_read_by(SETTINGS[name]) & {"MAIL_DIR", "RECORDINGS_DIR", "PREVIEWS_DIR"}
    writes = {image_env("api")[field] for field in fields if (name, field) != ("project-webhooks", "PREVIEWS_DIR")}
    assert service["read_only"]
    assert mounted == writes


@pytest.mark.parametrize("name", SETTINGS)
def test_the_local_start_sets_what_the_services_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "free_port", partial(next, count(20_000)))
    dsns = {role: f"postgresql://{role}:x@127.0.0.1:1/talkstack" for role in ("auth", "projects", "calls")}
    wiring = Wiring(tmp_path, 8080, dsns, "amqp://u:p@127.0.0.1:2/", {})
    units = {unit.name: unit for unit in service_units(SERVICES, wiring)}
    settings = load(SETTINGS[name], dict(units[name].env), monkeypatch)
    assert settings.port == units[name].port
    assert all(str(value).startswith(str(tmp_path)) for value in dict(settings).values() if isinstance(value, Path))


def test_the_local_start_sets_nothing_that_nobody_reads(tmp_path: Path) -> None:
    read = set().union(*(names_read_by(settings) for settings in SETTINGS.values()))
    assert set(common_env(Wiring(tmp_path, 8080, {}, "amqp://u:p@h/", {}))) - {"PYTHONUNBUFFERED"} <= read
