"""Run as a program: the `ScenarioSet` on standard input, as it is stored, to standard output.

It is a process of its own because a megabyte of scenarios can take seconds: compiling one regular expression takes
up to 1.5 ms, during which no other thread of Python runs, and a wrong megabyte can have a million errors. The parent
ends it. Each line of the output is the JSON of one scenario that is played; with exit status 3 the output is a list
of what is wrong, as pydantic says it.
"""

import resource
import sys

import orjson
from pydantic import ValidationError

from call_service.scenarios.scenario import ScenarioSet

REFUSED = 3
MAX_ERRORS = 100
MAX_MEMORY = 1 << 30
MAX_CPU_SECONDS = 20  # where the parent was killed and does not end it


def main() -> int:
    """Write the scenarios, or what is wrong with them."""
    if sys.platform != "darwin":  # it has no such limit: setting one is refused
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SECONDS, MAX_CPU_SECONDS))
    try:
        found = ScenarioSet.model_validate(orjson.loads(sys.stdin.buffer.read()))
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False, include_context=False)
        sys.stdout.buffer.write(orjson.dumps(errors[:MAX_ERRORS]))
        return REFUSED
    for scenario in found.played():
        sys.stdout.buffer.write(orjson.dumps(scenario.model_dump(mode="json", exclude_unset=True)) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
