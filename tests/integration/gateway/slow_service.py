"""A service behind the gateway as a process of its own: takes 0.2 s for an answer, and drains as all services do."""

import asyncio

from aiohttp import web

from shared.http import new_app, run
from shared.settings import ProcessSettings, load_settings


async def _slow(_request: web.Request) -> web.Response:
    await asyncio.sleep(0.2)
    return web.json_response({"status": "success"})


async def _no_keys(_request: web.Request) -> web.Response:
    key = {"kty": "OKP", "crv": "Ed25519", "kid": "first", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    return web.json_response({"keys": [key]})


async def _no_sessions(_request: web.Request) -> web.Response:
    return web.json_response({"session_ids": []})


def _build(settings: ProcessSettings) -> web.Application:
    app = new_app(settings, "slow")
    app.router.add_post("/auth/login", _slow)
    app.router.add_get("/.well-known/jwks.json", _no_keys)
    app.router.add_get("/internal/sessions/revoked", _no_sessions)
    return app


if __name__ == "__main__":
    process_settings = load_settings(ProcessSettings)
    run(lambda: _build(process_settings), process_settings, "slow")
