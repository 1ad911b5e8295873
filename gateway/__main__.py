"""`python -m gateway`."""

from gateway.app import build_app
from gateway.settings import GatewaySettings
from shared.http import run
from shared.settings import load_settings


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings(GatewaySettings)
    run(lambda: build_app(settings), settings, "gateway")


if __name__ == "__main__":
    main()
