"""What changes while the gateway runs: a TOML file whose keys are settings, read at the start and on SIGHUP."""

import asyncio
import signal
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from pydantic import ValidationError

from gateway.settings import Changeable, GatewaySettings
from shared.endpoints import field_errors, summarize
from shared.errors import ApiError

log = structlog.get_logger(__name__)


class WrongConfigError(ApiError):
    """The file of GATEWAY_CONFIG can't be used."""


def load(settings: GatewaySettings) -> Changeable:
    """The settings with those of the file, where it names some, in front.

    Raises:
        WrongConfigError: it can't be read, or names the wrong field.
    """
    given = {name: getattr(settings, name) for name in Changeable.model_fields}
    if settings.gateway_config is None:
        return Changeable.model_validate(given)
    try:
        return Changeable.model_validate(given | tomllib.loads(settings.gateway_config.read_text()))
    except ValidationError as error:
        raise WrongConfigError(summarize(field_errors(error))) from None
    except (OSError, ValueError) as error:
        raise WrongConfigError(f"{settings.gateway_config}: {error}") from error


@contextmanager
def reloading(settings: GatewaySettings, apply: Callable[[Changeable], None]) -> Iterator[None]:
    """Apply the file now, and inside the block whenever SIGHUP comes; one that is wrong by then changes nothing."""

    def reload() -> None:
        try:
            apply(load(settings))
        except WrongConfigError as error:
            log.error("config_refused", cause=error.message)  # noqa: TRY400 - no traceback for a typing error
        else:
            log.info("config_reloaded")

    apply(load(settings))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
