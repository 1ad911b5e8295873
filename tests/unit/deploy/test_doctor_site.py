"""Where the doctor finds the processes of a stack and their settings: whole, in part, in one process, or not at all."""

from pathlib import Path

import pytest

from deploy.doctor import local_site
from deploy.doctor.local_site import NOT_RUNNING, find_site, site_of_state
from deploy.doctor.site import SETTINGS, worker_settings
from deploy.local.state import ProcessRecord, State, this_process

SECRET = "s" * 32
COMMON = {"AMQP_URL": "amqp://mq", "INTERNAL_TOKEN_SECRET": SECRET, "ENCRYPTION_KEY": SECRET, "SIP_PORT": "5070"}
ROLES = {"auth-api": "auth", "project-api": "projects", "project-webhooks": "projects", "call-api": "calls"}
ROLES |= {"call-worker": "calls"}


def state(*names: str) -> State:
    records = tuple(
        ProcessRecord(name=name, pid=100 + n, started="long ago", port=9000 + n) for n, name in enumerate(names)
    )
    return State(supervisor=this_process("test"), url="http://127.0.0.1:8080", phase="ready", processes=records)


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """The environments of processes that run, by name; a test may take one away or add some."""
    found: dict[str, dict[str, str]] = {
        name: {**COMMON, "DATABASE_URL": f"postgresql://{role}:{role}-key@127.0.0.1:5432/talkstack"}
        for name, role in ROLES.items()
    }
    found["gateway"] = {**COMMON, "CALL_URL": "http://127.0.0.1:9003"}
    monkeypatch.setattr(local_site, "_environment", lambda record: found.get(record.name))
    return found


def test_each_process_is_known_by_its_own_environment(alive: dict[str, dict[str, str]], tmp_path: Path) -> None:
    site = site_of_state(state("postgres", *alive), tmp_path, "key")
    assert (site.url, site.key, site.amqp_url) == ("http://127.0.0.1:8080", "key", "amqp://mq")
    assert site.dsns["calls"] == alive["call-api"]["DATABASE_URL"]
    worker = site.process("call-worker")
    assert (worker.urls, worker.pid, worker.env) == (("http://127.0.0.1:9005",), 105, alive["call-worker"])
    settings = worker_settings(site)
    assert settings is not None
    assert settings.sip_port == 5070


def test_a_dead_process_is_asked_where_it_was_with_the_settings_it_would_have(
    alive: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    names = list(alive)
    del alive["call-worker"], alive["auth-api"]
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/database-auth").write_text("kept")
    site = site_of_state(state("postgres", *names), tmp_path, "")
    worker = site.process("call-worker")
    assert worker.urls == ("http://127.0.0.1:9005",)
    assert worker.env is not None
    assert worker.env["DATABASE_URL"] == alive["call-api"]["DATABASE_URL"]
    assert site.dsns["auth"] == "postgresql://auth:kept@127.0.0.1:5432/talkstack"


def test_one_process_for_all_shows_the_workers_metrics_on_its_own_page(
    alive: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    urls = {f"{role.upper()}_DATABASE_URL": f"postgresql://{role}@here/talkstack" for role in set(ROLES.values())}
    alive.clear()
    alive["gateway"] = {**COMMON, "AMQP_URL": "", **urls}
    site = site_of_state(state("postgres", "gateway"), tmp_path, "")
    assert (site.process("call-worker").urls, site.process("call-worker").pid) == (("http://127.0.0.1:8080",), 101)
    assert (site.process("auth-api").urls, site.amqp_url) == ((), "")
    assert site.dsns == {"auth": urls["AUTH_DATABASE_URL"], "projects": urls["PROJECTS_DATABASE_URL"],
                         "calls": urls["CALLS_DATABASE_URL"]}  # fmt: skip


def test_nothing_alive_is_a_problem_of_the_stack(alive: dict[str, dict[str, str]], tmp_path: Path) -> None:
    names = list(alive)
    alive.clear()
    assert site_of_state(state(*names), tmp_path, "").problem


def test_without_a_stack_settings_are_read_as_make_up_would_give_them(tmp_path: Path) -> None:
    site = find_site(tmp_path, {"SIP_PORT": "5099", "PORT": "1", "HOST": "0.0.0.0"})
    assert site.problem == NOT_RUNNING
    settings = worker_settings(site)
    assert settings is not None
    assert (settings.sip_port, settings.port, settings.host) == (5099, 8080, "127.0.0.1")
    assert {process.name for process in site.processes} == set(SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_a_users_own_postgres_for_make_up_is_no_deployment(tmp_path: Path) -> None:
    assert find_site(tmp_path, {"DATABASE_URL": "postgresql://admin@db/postgres"}).problem == NOT_RUNNING
    worker = {"DATABASE_URL": "postgresql://calls@db/talkstack", "INTERNAL_TOKEN_SECRET": SECRET}
    assert find_site(tmp_path, worker).problem == ""
