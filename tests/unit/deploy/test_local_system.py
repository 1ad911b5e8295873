"""Ports, secrets, restarts and installs, apart from the real machine."""

import os
import shutil
import stat
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from deploy.local import rabbitmq, system
from deploy.local.databases import dsn_for
from deploy.local.keeper import pause_before_restart
from deploy.local.keys import secret


def test_a_restart_waits_ever_longer_up_to_a_limit() -> None:
    assert [pause_before_restart(ends) for ends in (1, 2, 3, 4)] == [0.5, 1, 2, 4]
    assert pause_before_restart(1_000_000) == 30


def test_ports_are_outside_every_systems_range_for_outgoing_connections() -> None:
    assert system.PORT_RANGE.stop <= 32_768


def test_a_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first = secret(tmp_path / "secrets", "x")
    assert secret(tmp_path / "secrets", "x") == first
    assert secret(tmp_path / "secrets", "y") != first
    assert stat.S_IMODE((tmp_path / "secrets/x").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_a_dsn_keeps_its_server_and_options() -> None:
    admin = "postgresql://me:pw@db.example:5433/postgres?sslmode=require"
    assert dsn_for(admin, database="talkstack") == "postgresql://me:pw@db.example:5433/talkstack?sslmode=require"
    assert dsn_for(admin, user="auth", password="s") == "postgresql://auth:s@db.example:5433/postgres?sslmode=require"


@pytest.fixture
def fake_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that writes down how it was called, and whether daemons were held back then."""
    programs, calls = tmp_path / "bin", tmp_path / "calls"
    programs.mkdir()
    apt = programs / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "$@ policy=$(sh {tmp_path}/policy >/dev/null 2>&1; echo $?)" >>{calls}\n')
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(system, "POLICY", tmp_path / "policy")
    monkeypatch.setattr(system, "root_prefix", list)
    return calls


def test_an_install_is_announced_and_starts_no_daemon(fake_apt: Path, tmp_path: Path) -> None:
    said: list[str] = []
    assert system.apt_install("rabbitmq-server", tmp_path / "apt.log", said.append)
    update, install = fake_apt.read_text().splitlines()
    assert "update policy=101" in update
    assert "install -y --no-install-recommends rabbitmq-server policy=101" in install
    assert "Installing rabbitmq-server with apt-get" in said[0]
    assert not (tmp_path / "policy").exists()


def test_a_policy_of_the_machine_is_kept(fake_apt: Path, tmp_path: Path) -> None:
    (tmp_path / "policy").write_text("exit 7\n")
    assert system.apt_install("rabbitmq-server", tmp_path / "apt.log", system.silent)
    assert "policy=7" in fake_apt.read_text()
    assert (tmp_path / "policy").read_text() == "exit 7\n"


def test_without_root_nothing_is_installed(fake_apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "root_prefix", lambda: None)
    assert not system.apt_install("rabbitmq-server", tmp_path / "apt.log")
    assert not fake_apt.exists()


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq, "free_port", partial(next, count(20_000)))


@pytest.mark.usefixtures("ports")
def test_a_node_listens_on_the_loopback_interface_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq, "find_server", lambda: "/opt/rabbitmq-server")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setenv("RABBITMQ_NODENAME", "somebody-elses")
    planned = rabbitmq.rabbitmq_units(tmp_path / "rabbitmq")
    assert planned is not None
    (registry, node), url = planned
    assert registry.stage < node.stage
    assert node.env["RABBITMQ_NODE_IP_ADDRESS"] == node.env["ERL_EPMD_ADDRESS"] == "127.0.0.1"
    assert node.env["RABBITMQ_NODENAME"] == "talkstack@localhost"
    assert f"@127.0.0.1:{node.port}/" in url


@pytest.mark.usefixtures("ports")
@pytest.mark.parametrize("docker_runs", [True, False])
def test_without_an_installed_node_docker_is_next_and_then_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docker_runs: bool
) -> None:
    said: list[str] = []
    monkeypatch.setattr(rabbitmq, "find_server", lambda: None)
    monkeypatch.setattr(rabbitmq, "_installed", lambda directory, report: None)
    monkeypatch.setattr(rabbitmq, "_has_docker", lambda: docker_runs)
    planned = rabbitmq.rabbitmq_units(tmp_path / "rabbitmq", said.append)
    if not docker_runs:
        assert planned is None
        return
    assert planned is not None
    (container,), url = planned
    password = container.env["RABBITMQ_DEFAULT_PASS"]
    assert password in url
    assert password not in " ".join(container.argv)
    assert f"127.0.0.1:{container.port}:5672" in container.argv
    assert said == ["Starting RabbitMQ as a Docker container (rabbitmq:4) ..."]
