"""`{{variable}}` placeholders in an agent's texts."""

import re
from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"{{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*}}")


def names(text: str) -> list[str]:
    """The variables that `text` asks for, each once, in the order of their first mention."""
    return list(dict.fromkeys(_PLACEHOLDER.findall(text)))


def missing(text: str, variables: Mapping[str, str]) -> list[str]:
    """The variables that `text` asks for and `variables` lacks."""
    return [name for name in names(text) if name not in variables]


def fill(text: str, variables: Mapping[str, str]) -> str:
    """`text` with every placeholder replaced; what a value holds is never expanded again.

    Raises:
        KeyError: a variable is missing.
    """
    return _PLACEHOLDER.sub(lambda match: variables[match[1]], text)
