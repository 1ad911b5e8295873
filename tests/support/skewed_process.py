"""`python -m tests.support.skewed_process SECONDS MODULE ARGUMENTS...`: a process whose clock is wrong by so much.

The wall clock only: what is measured by the monotonic clock is right, as on a machine with a wrong clock.
"""

import runpy
import sys
from datetime import UTC, datetime, timedelta

import time_machine


def main() -> None:
    seconds, module = float(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[2:]
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds), tick=True):
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
