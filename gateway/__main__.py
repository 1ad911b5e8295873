"""`python -m gateway`: one process, or with GATEWAY_PROCESSES several that share a port."""

import os
import tempfile

from gateway.settings import GatewaySettings
from shared.settings import load_settings


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings(GatewaySettings)
    with tempfile.TemporaryDirectory(prefix="gateway-metrics-") as directory:
        if settings.gateway_processes > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        # Only now: the metrics look for that variable when they are imported.
        from gateway.serving import serve  # noqa: PLC0415

        serve(settings)


if __name__ == "__main__":
    main()
