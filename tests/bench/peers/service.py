"""The service behind all gateways of `bench_gateway`: fixed answers, the keys that verify tokens, event streams.

`/internal/check` is what nginx's `auth_request` asks: auth_service's verdict on a request's credentials.
"""

import asyncio
import os
import resource
from datetime import UTC, datetime, timedelta

import jwt
import uvloop
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

# Derived from fixed bytes, so that the service and the load generator agree on it.
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
API_KEY = "tk_live_0123456789abcdefghij"
PROJECTS = [{"id": f"0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e{n:02}", "name": f"Project {n}"} for n in range(8)]
AUDIENCE, ISSUER = "talkstack-api", "talkstack"


def access_token() -> str:
    """What auth_service would sign."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "0192f0c1-3333-7c44-9f3e-1b2a4c5d6e7f",
        "sid": "0192f0c1-4444-7c44-9f3e-1b2a4c5d6e7f",
        "jti": "0192f0c1-5555-7c44-9f3e-1b2a4c5d6e7f",
        "scope": "*",
        "exp": datetime.now(UTC) + timedelta(hours=2),
    }
    return jwt.encode(claims, KEY, algorithm="EdDSA", headers={"typ": "at+jwt", "kid": "bench"})


async def _projects(_request: web.Request) -> web.Response:
    return web.json_response({"message": "ok", "status": "success", "data": PROJECTS})


async def _jwks(_request: web.Request) -> web.Response:
    return web.json_response({"keys": [OKPAlgorithm.to_jwk(KEY.public_key(), as_dict=True) | {"kid": "bench"}]})


async def _verify(_request: web.Request) -> web.Response:
    return web.json_response({"user_id": "u", "key_id": "k", "scopes": ["*"], "expires_at": None})


async def _check(request: web.Request) -> web.Response:
    if request.headers.get("x-api-key") == API_KEY:
        return web.Response(status=204)
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    try:
        jwt.decode(token, KEY.public_key(), algorithms=["EdDSA"], audience=AUDIENCE, issuer=ISSUER)
    except jwt.InvalidTokenError:
        return web.Response(status=401)
    return web.Response(status=204)


async def _ended_sessions(_request: web.Request) -> web.Response:
    return web.json_response({"session_ids": []})


async def _openapi(_request: web.Request) -> web.Response:
    operations = {"get": {"operationId": "list_projects", "responses": {}}}
    return web.json_response({"paths": {"/project": operations}, "components": {"schemas": {}, "securitySchemes": {}}})


async def _events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b": hello\n\n")
    await asyncio.Event().wait()
    return response


async def _serve() -> None:
    app = web.Application()
    app.router.add_get("/project", _projects)
    app.router.add_get("/.well-known/jwks.json", _jwks)
    app.router.add_post("/internal/api-keys/verify", _verify)
    app.router.add_get("/internal/sessions/revoked", _ended_sessions)
    app.router.add_get("/internal/check", _check)
    app.router.add_get("/openapi.json", _openapi)
    app.router.add_get("/events", _events)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"]), backlog=4096).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(_serve())
