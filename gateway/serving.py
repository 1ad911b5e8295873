"""Runs the gateway in this process, or in several."""

import asyncio
import os
import resource
import signal
from contextlib import suppress

from aiohttp import web

from gateway.app import build_app, build_metrics_app
from gateway.limits import Limiter
from gateway.processes import Place, Supervisor
from gateway.reload import load
from gateway.settings import GatewaySettings
from shared.http import DRAIN_HOOKS, Hosted, at_start, run_all


def serve(settings: GatewaySettings) -> None:
    """Serve until SIGTERM. What all processes share is created before there is more than one."""
    _allow_many_connections()
    if settings.gateway_processes == 1:
        run_all(lambda: [Hosted(build_app(settings), settings), *_metrics(settings)], settings, "gateway")
        return
    limiter = Limiter()
    with at_start(settings, "gateway"):
        load(settings)
        supervisor = Supervisor(
            settings.host,
            settings.port,
            settings.gateway_processes,
            lambda place: run_all(
                lambda: [_hosted(settings, limiter, place), *_metrics(settings)], settings, "gateway"
            ),
        )
    supervisor.run()


def _allow_many_connections() -> None:
    """Each takes two files, and the usual soft limit of 1024 is for programs that use select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS says "unlimited" and takes less
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _hosted(settings: GatewaySettings, limiter: Limiter, place: Place) -> Hosted:
    app = build_app(settings, limiter=limiter)

    async def stop_accepting() -> None:
        os.close(place.accepting)

    async def end_with_parent(_app: web.Application) -> None:
        asyncio.get_running_loop().add_reader(place.parent, _end, place.parent)

    app[DRAIN_HOOKS].append(stop_accepting)
    app.on_startup.append(end_with_parent)
    return Hosted(app, settings, place.listener)


def _metrics(settings: GatewaySettings) -> list[Hosted]:
    if settings.metrics_port is None:
        return []
    return [Hosted(build_metrics_app(), settings.model_copy(update={"port": settings.metrics_port}))]


def _end(parent: int) -> None:
    asyncio.get_running_loop().remove_reader(parent)
    os.kill(os.getpid(), signal.SIGTERM)
