"""The public API, as a customer's program uses it."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp
import orjson

TIMEOUT = aiohttp.ClientTimeout(total=30)
STREAM_TIMEOUT = aiohttp.ClientTimeout(total=900, sock_connect=5, sock_read=60)


class DemoError(Exception):
    """Something that the demo needs did not happen; the text is for the person in front of it."""


class Api:
    """Calls the gateway. An error of the API becomes a `DemoError` with its message."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self.base_url = base_url
        self.token: str | None = None

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON of a successful answer."""
        status, answer = await self.try_ask(method, path, body)
        if status >= 400:
            raise DemoError(f"{method} {path} answered {status}: {answer.get('message', answer)}")
        return answer

    async def try_ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Status and JSON of any answer."""
        try:
            async with self._session.request(
                method, self.base_url + path, json=body, headers=self._headers, timeout=TIMEOUT
            ) as response:
                return response.status, orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            raise DemoError(f"{method} {path} got no usable answer: {error!r}") from error

    async def download(self, path: str) -> bytes:
        """The bytes of a file."""
        async with self._session.get(self.base_url + path, headers=self._headers, timeout=TIMEOUT) as response:
            if response.status != 200:
                raise DemoError(f"GET {path} answered {response.status}.")
            return await response.read()

    async def events(self, path: str) -> AsyncGenerator[dict[str, Any]]:
        """The events of a Server-Sent Events stream, until it ends."""
        async with self._session.get(self.base_url + path, headers=self._headers, timeout=STREAM_TIMEOUT) as response:
            if response.status != 200:
                raise DemoError(f"GET {path} answered {response.status}.")
            async for line in response.content:
                if line.startswith(b"data: "):
                    yield orjson.loads(line[6:])
