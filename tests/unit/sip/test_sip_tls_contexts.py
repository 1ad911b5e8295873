"""Whom we trust over TLS: by trunk, made once, and never missing while trunks are taken into use."""

import ssl
from pathlib import Path

import pytest

from call_service.carriers.sip import Trunk, tls
from call_service.carriers.sip.tls import ClientContexts
from tests.support.certificates import write_certificates


def trunk(host: str, ca_file: Path | None) -> Trunk:
    return Trunk(name=host, host=host, transport="tls", ca_file=str(ca_file) if ca_file else None)


def test_a_context_is_made_once_for_each_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_certificates(tmp_path)
    made: list[str] = []
    make = tls.client_context
    monkeypatch.setattr(tls, "client_context", lambda one: made.append(one.name) or make(one))
    contexts = ClientContexts()
    trunks = [trunk("a", tmp_path / "ca.pem"), trunk("b", tmp_path / "ca.pem"), trunk("c", None)]
    for _ in range(3):
        contexts.use(trunks)
    assert made == ["a", "c"]
    assert contexts("A") is contexts("b")
    assert contexts("c") is not contexts("b")


def test_a_changed_authority_is_read_again(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    contexts = ClientContexts()
    contexts.use([trunk("a", tmp_path / "ca.pem")])
    before = contexts("a")
    text = (tmp_path / "ca.pem").read_text()
    (tmp_path / "ca.pem").unlink()
    (tmp_path / "ca.pem").write_text(text)
    contexts.use([trunk("a", tmp_path / "ca.pem")])
    assert contexts("a") is not before


def test_a_connection_made_meanwhile_goes_by_what_was_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trunks are taken into use in a thread: the loop must not find the table empty, and mistrust its own trunks."""
    write_certificates(tmp_path)
    contexts = ClientContexts()
    contexts.use([trunk("a", tmp_path / "ca.pem")])
    before = contexts("a")
    seen: list[ssl.SSLContext] = []
    make = tls.client_context
    monkeypatch.setattr(tls, "client_context", lambda one: seen.append(contexts("a")) or make(one))
    contexts.use([trunk("b", None), trunk("a", tmp_path / "ca.pem")])
    assert seen == [before]


def test_an_authority_that_cannot_be_read_is_replaced_by_those_of_the_system(tmp_path: Path) -> None:
    contexts = ClientContexts()
    contexts.use([trunk("a", tmp_path / "none.pem")])
    assert contexts("a") is contexts("unknown")
