"""The background process with stand-ins for the services: `python -m ... VAR PORT`."""

import sys
from pathlib import Path

from deploy.local.services import Service
from deploy.local.supervisor import Supervisor, supervise

STAND_IN = "tests.integration.deploy.stand_in"
SERVICES = (
    Service("auth-api", (STAND_IN, "serve"), "auth", "AUTH_URL"),
    Service("gateway", (STAND_IN, "serve"), stage=2),
)


def command_for(var: Path, port: int) -> list[str]:
    """The command line of this module."""
    return [sys.executable, "-m", "tests.integration.deploy.stand_in_supervisor", str(var), str(port)]


if __name__ == "__main__":
    raise SystemExit(supervise(Supervisor(Path(sys.argv[1]), int(sys.argv[2]), SERVICES, ())))
