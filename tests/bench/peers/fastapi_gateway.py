"""The same gateway as one would write it with FastAPI and httpx: verified and cached credentials, signed identity.

It has no rate limits, metrics, access log, WebSockets, retries or ejection.
"""

import hashlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

SERVICE = os.environ["PROJECT_URL"]
SECRET = os.environ["INTERNAL_TOKEN_SECRET"]
HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length"}
IDENTITY = {"authorization", "x-api-key", "x-internal-token", "x-client-ip"}
verified: dict[bytes, tuple[str, float]] = {}
signed: dict[str, tuple[str, float]] = {}


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    async with httpx.AsyncClient(base_url=SERVICE, limits=limits, timeout=30) as client:
        app.state.client = client
        keys = jwt.PyJWKSet.from_dict((await client.get("/.well-known/jwks.json")).json())
        app.state.keys = {key.key_id: key.key for key in keys}
        yield


app = FastAPI(lifespan=_lifespan, openapi_url=None)


async def _user(request: Request) -> str:
    credential = request.headers.get("authorization") or request.headers.get("x-api-key")
    if credential is None:
        raise HTTPException(401)
    digest = hashlib.sha256(credential.encode()).digest()
    user, until = verified.get(digest, ("", 0.0))
    if until < time.time():
        user, until = verified[digest] = await _verify(request, credential)
    return user


async def _verify(request: Request, credential: str) -> tuple[str, float]:
    state = request.app.state
    if not credential.startswith("Bearer "):
        answer = await state.client.post("/internal/api-keys/verify", json={"key": credential})
        if answer.status_code != 200:
            raise HTTPException(401)
        return answer.json()["user_id"], time.time() + 30
    token = credential.removeprefix("Bearer ")
    try:
        key = state.keys[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="talkstack-api", issuer="talkstack")
    except (jwt.InvalidTokenError, KeyError) as error:
        raise HTTPException(401) from error
    return claims["sub"], claims["exp"]


def _token(user: str) -> str:
    token, until = signed.get(user, ("", 0.0))
    if until < time.time():
        now = int(time.time())
        token = jwt.encode({"iss": "gateway", "sub": user, "exp": now + 30}, SECRET, algorithm="HS256")
        signed[user] = token, now + 10
    return token


@app.get("/health/ready")
async def ready() -> dict[str, str]:
    return {"status": "ok"}


@app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def proxy(request: Request, path: str) -> StreamingResponse:
    user = await _user(request)
    headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP | IDENTITY}
    headers |= {"x-internal-token": _token(user), "x-client-ip": request.client.host if request.client else ""}
    client: httpx.AsyncClient = request.app.state.client
    url = httpx.URL(path=f"/{path}", query=request.url.query.encode())
    content: Any = request.stream() if "content-length" in request.headers else None
    answer = await client.send(client.build_request(request.method, url, headers=headers, content=content), stream=True)
    passed = {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP - {"content-length"}}
    return StreamingResponse(answer.aiter_raw(), answer.status_code, passed, background=None)


if __name__ == "__main__":
    uvicorn.run(
        app, port=int(os.environ["PORT"]), log_level="warning", access_log=False, loop="uvloop", http="httptools"
    )
