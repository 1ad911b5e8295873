import runpy
import sys
from collections.abc import Sequence

import pytest


class Interrupting:
    """A finder of modules: Ctrl-C comes while the commands are imported."""

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: object = None) -> None:
        if name == "deploy.local.cli":
            raise KeyboardInterrupt


def test_an_interruption_while_modules_are_imported_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "deploy.local.cli", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("deploy.local", run_name="__main__")
    assert ended.value.code == 130
