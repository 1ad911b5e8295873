"""Which settings the local start gives to whom."""

import re
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from deploy.local import services
from deploy.local.services import ALL_IN_ONE, SERVICES, Wiring, common_env, drain_limit, service_units
from deploy.local.system import StartError
from deploy.settings_docs import HEAD, PROCESSES

DSNS = {role: f"postgresql://{role}:x@127.0.0.1:1/talkstack" for role in ("auth", "projects", "calls")}


@pytest.fixture(autouse=True)
def ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "free_port", partial(next, count(20_000)))


def wiring(var: Path, amqp_url: str | None = "amqp://node", **user_env: str) -> Wiring:
    return Wiring(var, 8080, DSNS, amqp_url, user_env)


def test_each_process_gets_the_database_of_its_own_service(tmp_path: Path) -> None:
    units = {unit.name: unit for unit in service_units(SERVICES, wiring(tmp_path))}
    roles = {name: unit.env.get("DATABASE_URL", "//none:").split("//")[1].split(":")[0] for name, unit in units.items()}
    assert roles == {
        "auth-api": "auth",
        "project-api": "projects",
        "project-webhooks": "projects",
        "call-api": "calls",
        "call-worker": "calls",
        "gateway": "none",
    }


def test_ports_differ_and_the_gateway_has_the_public_one(tmp_path: Path) -> None:
    units = {unit.name: unit for unit in service_units(SERVICES, wiring(tmp_path))}
    assert len({unit.env["PORT"] for unit in units.values()}) == len(SERVICES)
    assert units["gateway"].env["PORT"] == "8080"
    assert units["call-worker"].env["CALL_URL"] == f"http://127.0.0.1:{units['call-api'].port}"


def test_the_worker_and_the_gateway_are_stopped_before_what_they_need(tmp_path: Path) -> None:
    stages = {unit.name: unit.stage for unit in service_units(SERVICES, wiring(tmp_path))}
    assert min(stages["gateway"], stages["call-worker"]) > max(stages["auth-api"], stages["call-api"])


def test_what_the_user_sets_wins_over_our_defaults(tmp_path: Path) -> None:
    env = common_env(wiring(tmp_path, LOG_FORMAT="console", LLM_MODEL="some-model", RECORDINGS_DIR="/elsewhere"))
    assert (env["LOG_FORMAT"], env["LLM_MODEL"], env["RECORDINGS_DIR"]) == ("console", "some-model", "/elsewhere")
    assert env["WEBHOOK_ALLOW_PRIVATE"] == "true"


def test_what_the_user_sets_cannot_open_the_stack_to_the_network(tmp_path: Path) -> None:
    assert common_env(wiring(tmp_path, HOST="0.0.0.0"))["HOST"] == "127.0.0.1"


def test_the_page_of_settings_names_those_that_the_user_cannot_set(tmp_path: Path) -> None:
    """It said that whatever is set in the environment wins."""
    names = {name.upper() for _, settings in PROCESSES for name in settings.model_fields}
    set_by_user = {**dict.fromkeys(names, "the user's"), "DRAIN_SECONDS": "7"}
    given = [unit.env for unit in service_units(SERVICES, wiring(tmp_path, amqp_url="the user's", **set_by_user))]
    lost = {name for name, value in set_by_user.items() if any(env[name] != value for env in given)}
    assert lost == set(re.findall(r"`([A-Z_]+)`", HEAD))


def test_mail_goes_to_files_unless_there_is_a_server(tmp_path: Path) -> None:
    assert common_env(wiring(tmp_path))["MAIL_DIR"] == str(tmp_path / "mail")
    assert "MAIL_DIR" not in common_env(wiring(tmp_path, SMTP_URL="smtp://mail.example"))


def test_without_rabbitmq_one_process_gets_every_database(tmp_path: Path) -> None:
    (unit,) = service_units(ALL_IN_ONE, wiring(tmp_path, amqp_url=None))
    assert unit.argv[1:] == ["-m", "deploy.local.all_in_one"]
    assert "AMQP_URL" not in unit.env
    assert unit.env["PROJECTS_DATABASE_URL"] == DSNS["projects"]


def test_secrets_are_long_lasting_and_private(tmp_path: Path) -> None:
    first, second = (common_env(wiring(tmp_path)) for _ in range(2))
    names = ("INTERNAL_TOKEN_SECRET", "ENCRYPTION_KEY")
    assert [first[name] for name in names] == [second[name] for name in names]
    assert len({first[name] for name in names}) == 2
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "secrets").iterdir()} == {0o600}


def test_a_drain_limit_is_a_number_of_seconds() -> None:
    assert drain_limit({"DRAIN_SECONDS": "90"}) == timedelta(seconds=90)
    with pytest.raises(StartError, match="DRAIN_SECONDS must be a whole number of seconds, not 'an hour'"):
        drain_limit({"DRAIN_SECONDS": "an hour"})
