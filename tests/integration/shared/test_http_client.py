"""The guarded client against servers on the loopback interface: what it refuses, and what it survives."""

import asyncio
import datetime as dt
import gzip
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared import http_client
from shared.http_client import (
    MAX_BODY_BYTES,
    BlockedAddressError,
    DeliveryFailedError,
    GuardedClient,
    InvalidUrlError,
    addresses_of,
    check_url,
    no_redirects,
)
from shared.testing.waiting import eventually
from tests.support.names import names_from

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Speech = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("/hook"))


@asynccontextmanager
async def speaking(speech: Speech, **options: Any) -> AsyncIterator[int]:
    """A server that says what it likes; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await speech(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, **options)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def private() -> AsyncIterator[GuardedClient]:
    """Allowed to call private addresses, with short time-outs."""
    async with GuardedClient(allow_private=True, total_timeout=timedelta(seconds=2)) as client:
        yield client


@pytest.fixture
async def guarded() -> AsyncIterator[GuardedClient]:
    async with GuardedClient(total_timeout=timedelta(seconds=5)) as client:
        yield client


async def _ok(_request: web.Request) -> web.Response:
    return web.Response()


async def test_body_and_headers_arrive_and_the_answer_comes_back(private: GuardedClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.headers["webhook-id"] == "7"
        assert request.headers["User-Agent"].startswith("Talkstack")
        return web.Response(status=410, body=b"gone: " + await request.read(), headers={"Retry-After": "9"})

    async with serving(handler) as url:
        answer = await private.post(url, b"{}", {"webhook-id": "7", "Content-Type": "application/json"})
    assert (answer.status, answer.body, answer.headers["Retry-After"]) == (410, b"gone: {}", "9")


async def test_redirects_are_answers(private: GuardedClient) -> None:
    paths: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with serving(handler) as url:
        answer = await private.post(url, b"", {})
    assert answer.status == 307
    assert paths == ["/hook"]


async def test_the_handshake_of_a_websocket_is_not_redirected() -> None:
    asked: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        raise web.HTTPFound("/elsewhere")

    async with serving(handle) as url, aiohttp.ClientSession(trace_configs=[no_redirects()]) as session:
        with pytest.raises(aiohttp.ClientError, match="redirected"):
            await session.ws_connect(url)
    assert asked == ["/hook"]


async def test_cookies_are_not_kept(private: GuardedClient) -> None:
    seen: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Cookie"))
        return web.Response(headers={"Set-Cookie": "session=1; Path=/"})

    async with serving(handler) as address:
        url = address.replace("127.0.0.1", "localhost")  # cookie jars pass over plain addresses
        await private.post(url, b"", {})
        await private.post(url, b"", {})
    assert seen == [None, None]


async def test_a_proxy_of_the_environment_is_not_used(private: GuardedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(text="direct")

    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    async with serving(handler) as url:
        assert (await private.post(url, b"", {})).body == b"direct"


async def test_an_endless_body_is_cut(private: GuardedClient) -> None:
    sent = 0

    async def ten_gigabytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        while sent < 10_000_000_000:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with speaking(ten_gigabytes) as port:
        answer = await private.post(f"http://127.0.0.1:{port}/", b"", {})
    assert answer.status == 200
    assert answer.body == b"x" * MAX_BODY_BYTES
    assert sent < 100_000_000


async def test_a_server_that_compresses_where_it_may_is_understood(private: GuardedClient) -> None:
    """A web server in front of a customer's application often does; the answer was taken for nonsense."""

    async def handler(_request: web.Request) -> web.Response:
        response = web.json_response({"call": True})
        response.enable_compression()  # as `Accept-Encoding` allows
        return response

    async with serving(handler) as url:
        assert (await private.post(url, b"{}", {})).body == b'{"call": true}'


async def test_a_compressed_body_is_not_inflated(private: GuardedClient) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with serving(handler) as url:
        assert (await private.post(url, b"", {})).body == bomb


async def _silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not reader.at_eof():
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("speech", [_silent, _drips])
async def test_a_server_that_takes_too_long_is_left(private: GuardedClient, speech: Speech) -> None:
    async with speaking(speech) as port:
        started = time.monotonic()
        with pytest.raises(DeliveryFailedError, match="timeout"):
            await private.post(f"http://127.0.0.1:{port}/", b"", {})
    assert time.monotonic() - started < 10


async def _hangs_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def _stops_in_the_middle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
    await writer.drain()


async def _speaks_another_protocol(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
    await writer.drain()


async def _sends_a_huge_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nx-long: " + b"x" * 1_000_000 + b"\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("speech", "cause"),
    [
        (_hangs_up, "disconnected"),
        (_stops_in_the_middle, "invalid_response"),
        (_speaks_another_protocol, "invalid_response"),
        (_sends_a_huge_header, "invalid_response"),
    ],
)
async def test_a_broken_answer_is_a_failure_with_its_cause(private: GuardedClient, speech: Speech, cause: str) -> None:
    async with speaking(speech) as port:
        with pytest.raises(DeliveryFailedError) as caught:
            await private.post(f"http://127.0.0.1:{port}/", b"", {})
    assert caught.value.cause == cause


async def test_a_closed_port_and_an_unknown_host_have_their_causes(private: GuardedClient) -> None:
    with pytest.raises(DeliveryFailedError, match="connect"):
        await private.post(f"http://127.0.0.1:{unused_port()}/", b"", {})
    with pytest.raises(DeliveryFailedError, match="dns"):
        await private.post("http://no-such-host.invalid/", b"", {})


async def test_an_untrusted_certificate_is_refused(private: GuardedClient, tmp_path: Path) -> None:
    async with speaking(_silent, ssl=_self_signed(tmp_path)) as port:
        with pytest.raises(DeliveryFailedError, match="tls"):
            await private.post(f"https://127.0.0.1:{port}/", b"", {})


async def test_at_most_ten_requests_to_one_host_at_a_time_and_others_go_on() -> None:
    running, most = 0, 0
    release = asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1
        return web.Response()

    async def quick(_request: web.Request) -> web.Response:
        return web.Response()

    async with GuardedClient(allow_private=True) as client, serving(slow) as slow_url, serving(quick) as quick_url:
        posts = [asyncio.create_task(client.post(slow_url, b"", {})) for _ in range(150)]
        assert (await client.post(quick_url, b"", {})).status == 200
        await eventually(lambda: running == 10)
        release.set()
        await asyncio.gather(*posts)
    assert most == 10


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"],
)
async def test_a_private_address_is_not_connected_to(guarded: GuardedClient, host: str) -> None:
    connected = asyncio.Event()

    async def note(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        connected.set()

    async with speaking(note) as port:
        url = f"https://{host}:{port}/"
        with pytest.raises(BlockedAddressError):
            await guarded.post(url, b"", {})
        with pytest.raises(InvalidUrlError, match="public internet"):
            await check_url(url)
        await check_url(url, allow_private=True)
    assert not connected.is_set()


async def test_a_name_that_changes_after_the_check_is_still_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the name leads to a public address when it is registered, and inside when it is called."""
    addresses = iter(["93.184.215.14", "127.0.0.1"])
    async with names_from(lambda _name: [next(addresses)], monkeypatch), GuardedClient() as guarded:
        await check_url("https://rebinding.example/")
        with pytest.raises(BlockedAddressError):
            await guarded.post("https://rebinding.example/", b"", {})


async def test_one_private_address_among_others_is_enough_to_refuse_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async with names_from(lambda _name: ["93.184.215.14", "10.0.0.1"], monkeypatch):
        with pytest.raises(InvalidUrlError, match="public internet"):
            await check_url("https://mixed.example/")


@pytest.mark.parametrize("host", [f"{'a' * 64}.com", "a..com"])
async def test_a_host_that_can_have_no_address_is_refused(host: str, private: GuardedClient) -> None:
    """The standard library raises UnicodeError for it, which was an internal error."""
    with pytest.raises(InvalidUrlError, match="no name of the DNS"):
        await check_url(f"https://{host}/")
    with pytest.raises(DeliveryFailedError, match="dns"):
        await private.post(f"https://{host}/", b"", {})


async def test_an_unknown_host_is_refused_and_a_silent_name_server_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "RESOLVE_TIMEOUT_SECONDS", 0.2)
    async with names_from(lambda name: None if name.startswith("silent") else [], monkeypatch):
        with pytest.raises(InvalidUrlError, match="unknown"):
            await check_url("https://unknown.example/")
        await check_url("https://silent.example/")


async def test_the_hosts_file_is_obeyed_and_ip_addresses_are_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async with names_from(lambda _name: None, monkeypatch):
        assert "127.0.0.1" in await addresses_of("localhost")
        assert await addresses_of("192.0.2.1") == ["192.0.2.1"]
        assert await addresses_of("2001:db8::1") == ["2001:db8::1"]
        assert await addresses_of("0x7f.1") == ["127.0.0.1"]


def test_names_whose_servers_are_silent_delay_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop looks up two names at a time and ends none early: two silent ones stopped all DNS of a process."""
    uvloop.run(_with_silent_names(monkeypatch))


async def _with_silent_names(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()

    def answers(name: str) -> list[str] | None:
        asked.add(name)
        return None if name.startswith("silent") else ["127.0.0.1"]

    async with (
        names_from(answers, monkeypatch),
        serving(_ok) as url,
        GuardedClient(allow_private=True) as client,
        asyncio.TaskGroup() as group,
    ):
        silent = [f"https://silent{number}.example/" for number in range(100)]
        hanging = [group.create_task(client.post(one, b"", {})) for one in silent]
        await eventually(lambda: len(asked) >= len(silent))
        async with asyncio.timeout(5):
            answer = await client.post(url.replace("127.0.0.1", "known.example"), b"", {})
            assert answer.status == 200
            assert await addresses_of("other.example") == ["127.0.0.1"]
            assert await asyncio.get_running_loop().getaddrinfo("localhost", 80)
        for task in hanging:
            task.cancel()


async def test_http_is_refused_without_a_connection(guarded: GuardedClient) -> None:
    with pytest.raises(InvalidUrlError, match="https"):
        await guarded.post("http://example.com/", b"", {})


def _self_signed(directory: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    file = directory / "server.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password) + certificate.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
