"""`python -m gateway`: one process, or with GATEWAY_PROCESSES several that share a port."""

import os
import tempfile

from gateway.settings import GatewaySettings
from shared.settings import load_settings


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings(GatewaySettings)
    if settings.gateway_processes == 1:
        _serve(settings)
        return
    with tempfile.TemporaryDirectory(prefix="gateway-metrics-") as directory:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        _serve(settings)


def _serve(settings: GatewaySettings) -> None:
    # Only now: the metrics look for that variable when they are imported.
    from gateway.serving import serve  # noqa: PLC0415

    serve(settings)


if __name__ == "__main__":
    main()
