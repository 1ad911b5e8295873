"""What every answer of a process carries, however it is given."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from shared.endpoints import read_json
from shared.health import HEALTH
from shared.http import new_app
from shared.settings import ProcessSettings

ANSWERS = ("/health/live", "/stream", "/file", "/nowhere", "/elsewhere")
Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"a part")
        return response

    async def file(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(Path(__file__))

    async def socket(request: web.Request) -> web.WebSocketResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        await answer.send_str("hello")
        await answer.close()
        return answer

    async def read(request: web.Request) -> web.Response:
        return web.json_response(await read_json(request, 1000))

    async def elsewhere(_request: web.Request) -> web.Response:
        raise web.HTTPFound("/stream")

    app = new_app(ProcessSettings(internal_token_secret="an internal secret of the tests, long enough"), "tests")
    for path, handler in {"/stream": stream, "/file": file, "/socket": socket, "/elsewhere": elsewhere}.items():
        app.router.add_get(path, handler)
    app.router.add_post("/read", read)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.mark.parametrize("path", ANSWERS)
async def test_each_answer_of_a_draining_process_ends_its_connection(client: Client, path: str) -> None:
    """Streams left theirs open, and clients sent the next request into one that was being closed."""
    for is_draining in (False, True):
        client.app[HEALTH].is_draining = is_draining
        async with client.get(path, headers={"X-Request-Id": "0123456789"}, allow_redirects=False) as answer:
            await answer.read()
            assert answer.headers["X-Request-Id"] == "0123456789"
            assert answer.headers.get("Connection") == ("close" if is_draining else None)


async def test_a_web_socket_begins_while_a_process_drains(client: Client) -> None:
    client.app[HEALTH].is_draining = True
    async with client.ws_connect("/socket") as socket:
        assert await socket.receive_str() == "hello"


BAD = {"no gzip": (b"no gzip", 400), "cut": (gzip.compress(bytes(range(200)))[:50], 400), "long": (b"{" * 9000, 413)}


@pytest.mark.parametrize("bad", BAD)
async def test_a_body_that_can_not_be_unpacked_is_refused_and_ends_only_its_own_connection(
    client: Client, caplog: pytest.LogCaptureFixture, bad: str
) -> None:
    """It was 500, and the next request over that connection, perhaps somebody else's, was lost."""
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    body, status = BAD[bad]
    for _ in range(3):
        async with client.post("/read", data=body, headers=headers) as answer:
            assert (answer.status, answer.headers["Connection"]) == (status, "close")
        async with client.post("/read", json={"a": 1}) as answer:
            assert await answer.json() == {"a": 1}
    async with client.post("/read", data=gzip.compress(b'{"a": 1}'), headers=headers) as answer:
        assert await answer.json() == {"a": 1}
    assert "unhandled error" not in caplog.text
