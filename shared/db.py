"""The Postgres pool and the unit of work.

Everything a use case changes happens inside one `async with db.transaction() as tx`, outbox rows included.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
import stamina
import structlog

from shared.errors import UnavailableError

log = structlog.get_logger(__name__)

Record = asyncpg.Record
if TYPE_CHECKING:  # asyncpg's classes are generic for the type checker only
    Tx = asyncpg.Connection[Record] | asyncpg.pool.PoolConnectionProxy[Record]
else:
    Tx = asyncpg.Connection

PASSING_ERRORS = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    # A migration changed the table meanwhile, or another transaction stood in the way: the same again will do.
    asyncpg.InvalidCachedStatementError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    OSError,
    TimeoutError,
)


def storable(text: str) -> str:
    """Without U+0000, which no text of Postgres may contain."""
    return text.replace("\x00", "")


class DatabaseUnavailableError(UnavailableError):
    """The database is briefly unavailable; try again."""

    code = "database_unavailable"


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except PASSING_ERRORS as error:
        if _hides_cancellation(error):
            raise asyncio.CancelledError from error
        raise DatabaseUnavailableError from error


def _hides_cancellation(error: BaseException) -> bool:
    """Rolling back on a connection that is gone fails in place of the cancellation, which then would be lost."""
    task = asyncio.current_task()
    return isinstance(error.__context__, asyncio.CancelledError) and task is not None and task.cancelling() > 0


async def _set_codecs(connection: Tx) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads, schema="pg_catalog"
        )


class UnitOfWork:
    """One transaction for all that a task does on a database, begun when it is first needed; see `Database.joined`."""

    def __init__(self, db: "Database", stack: AsyncExitStack, on_begin: Callable[[Tx], Awaitable[None]]) -> None:
        self._db = db
        self._stack = stack
        self._on_begin = on_begin
        self._task = asyncio.current_task()
        self.tx: Tx | None = None

    async def begin(self) -> Tx:
        """The transaction; whatever `on_begin` raises ends it."""
        if self.tx is None:
            tx = await self._stack.enter_async_context(self._db.separate_transaction())
            await self._on_begin(tx)
            self.tx = tx
        return self.tx

    def is_of(self, db: "Database") -> bool:
        """Only the task itself joins: a connection can't be used by two at a time."""
        return self._db is db and self._task is asyncio.current_task()


_UNIT: ContextVar[UnitOfWork | None] = ContextVar("unit_of_work", default=None)


class Database:
    """A bounded pool on one schema. Every failure to reach Postgres surfaces as `DatabaseUnavailableError`."""

    def __init__(self, pool: "asyncpg.Pool[Record]", dsn: str, schema: str) -> None:
        self._pool = pool
        self._dsn = dsn
        self.schema = schema
        self.acquire_timeout_seconds = 5.0

    @classmethod
    async def connect(
        cls,
        dsn: str,
        schema: str,
        *,
        max_size: int = 10,
        command_timeout_seconds: float = 10,
        patience_seconds: float = 30,
    ) -> "Database":
        """Open the pool, retrying for `patience_seconds` while Postgres starts.

        Raises:
            DatabaseUnavailableError: it could not be reached in that time.
        """
        async with _translated():
            async for attempt in stamina.retry_context(
                on=PASSING_ERRORS, attempts=None, timeout=patience_seconds, wait_max=2
            ):
                with attempt:
                    pool = await asyncpg.create_pool(
                        dsn,
                        min_size=1,
                        max_size=max_size,
                        command_timeout=command_timeout_seconds,
                        timeout=5,
                        init=_set_codecs,
                        server_settings={"search_path": schema, "application_name": f"talkstack-{schema}"},
                    )
        return cls(pool, dsn, schema)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Tx]:
        """A connection in autocommit, for reads; inside `joined`, its transaction once that has begun."""
        unit = self._unit()
        if unit is not None and unit.tx is not None:
            yield unit.tx
            return
        async with self._acquired() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """One unit of work: committed when the block ends, rolled back when it raises; a part of `joined` inside it."""
        unit = self._unit()
        if unit is None:
            async with self.separate_transaction() as tx:
                yield tx
            return
        tx = await unit.begin()
        async with tx.transaction():  # a savepoint
            yield tx

    @asynccontextmanager
    async def separate_transaction(self) -> AsyncIterator[Tx]:
        """A unit of work of its own, also inside `joined`."""
        async with self._acquired() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def joined(self, on_begin: Callable[[Tx], Awaitable[None]]) -> AsyncIterator[UnitOfWork]:
        """All transactions of this task in the block become one, committed when the block ends without an error.

        It begins with the first of them, by `on_begin(tx)`, so that what comes before holds no connection. Each is a
        savepoint: one that raises undoes its own part only.
        """
        async with AsyncExitStack() as stack:
            unit = UnitOfWork(self, stack, on_begin)
            token = _UNIT.set(unit)
            try:
                yield unit
            finally:
                _UNIT.reset(token)

    def _unit(self) -> UnitOfWork | None:
        unit = _UNIT.get()
        return unit if unit is not None and unit.is_of(self) else None

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Tx]:
        async with _translated(), self._pool.acquire(timeout=self.acquire_timeout_seconds) as connection:
            yield connection

    async def fetch(self, query: str, *args: Any) -> list[Record]:
        async with self.connection() as connection:
            return await connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: Any) -> Record | None:
        async with self.connection() as connection:
            return await connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        async with self.connection() as connection:
            return await connection.fetchval(query, *args)

    async def execute(self, query: str, *args: Any) -> str:
        async with self.connection() as connection:
            return await connection.execute(query, *args)

    async def ping(self) -> None:
        """Raises DatabaseUnavailableError when Postgres does not answer."""
        await self.fetchval("SELECT 1")

    async def listen(self, channel: str, on_notify: Callable[[str], None], ready: Callable[[], None]) -> None:
        """Run until cancelled: call `on_notify(payload)` for each NOTIFY on `channel`; reconnects with a pause.

        `ready` is called after each (re)connection, because notifications sent in between are lost.
        """
        while True:
            with suppress(*PASSING_ERRORS):
                await self._listen_once(channel, on_notify, ready)
            await asyncio.sleep(1)

    async def _listen_once(self, channel: str, on_notify: Callable[[str], None], ready: Callable[[], None]) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=5, command_timeout=5)
        try:
            await connection.add_listener(channel, lambda _c, _pid, _channel, payload: on_notify(str(payload)))
            ready()
            while True:
                await asyncio.sleep(15)
                await connection.execute("SELECT 1")
        finally:
            connection.terminate()

    async def close(self, timeout_seconds: float = 10) -> None:
        """Wait for running statements, then close; what hangs longer is cut."""
        try:
            await asyncio.wait_for(self._pool.close(), timeout_seconds)
        except (TimeoutError, *PASSING_ERRORS):
            self._pool.terminate()
