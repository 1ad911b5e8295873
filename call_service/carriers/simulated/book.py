"""The telephone book of the simulated network: one JSON file a number, `12025550100.json`."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from call_service.carriers.scripts import Conversation, Script

BUILT_IN = Path(__file__).parent / "numbers"
MAX_FILE_BYTES = 256 * 1024


class ScriptError(ValueError):
    """A script cannot be used; the text names the file and the field."""


class ScriptBook:
    """All scripts by number (E.164)."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self._scripts = dict(scripts)
        for number, script in self._scripts.items():
            if script.conversation_of and not self._converses(script.conversation_of):
                raise ScriptError(f"{number}: conversation_of: {script.conversation_of} has no conversation of its own")

    @classmethod
    def load(cls, *directories: Path) -> "ScriptBook":
        """The built-in numbers and those of `directories`; a later file replaces an earlier one of the same number.

        Raises:
            ScriptError: a directory or file is missing or invalid.
        """
        scripts: dict[str, Script] = {}
        for directory in (BUILT_IN, *directories):
            if not directory.is_dir():
                raise ScriptError(f"{directory} is not a directory")
            scripts |= {_number(path): _read(path) for path in sorted(directory.glob("*.json"))}
        return cls(scripts)

    @property
    def numbers(self) -> list[str]:
        """Every number that can be called, sorted."""
        return sorted(self._scripts)

    def find(self, number: str) -> Script | None:
        """The script of `number`."""
        return self._scripts.get(number)

    def conversation(self, script: Script) -> Conversation | None:
        """How the callee of `script` goes on after its turns."""
        if script.conversation_of:
            return self._scripts[script.conversation_of].conversation
        return script.conversation

    def _converses(self, number: str) -> bool:
        other = self._scripts.get(number)
        return other is not None and other.conversation is not None


def _number(path: Path) -> str:
    digits = path.stem.removeprefix("+")
    if not (digits.isascii() and digits.isdecimal() and 7 <= len(digits) <= 15):
        raise ScriptError(f"{path.name}: the name of a script is its number, such as 12025550100.json")
    return f"+{digits}"


def _read(path: Path) -> Script:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ScriptError(f"{path.name}: larger than {MAX_FILE_BYTES // 1024} KiB")
        return Script.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ScriptError(f"{path.name}: {error.strerror}") from error
    except ValidationError as error:
        problems = [_explain(detail["loc"], detail["msg"]) for detail in error.errors()]
        raise ScriptError(f"{path.name}: {'; '.join(problems)}") from error


def _explain(location: tuple[int | str, ...], message: str) -> str:
    return ": ".join(filter(None, (".".join(map(str, location)), message)))
