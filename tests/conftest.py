"""Real peers for the tests: a Postgres server and a RabbitMQ node, private to this run and gone after it."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import hypothesis
import pytest
import structlog

from deploy.local import system
from deploy.local.postgres import start_postgres
from deploy.local.rabbitmq import start_rabbitmq
from deploy.local.unit import Running
from tests.support.databases import Databases, Tables, quick_folder
from tests.support.scheduling import Scheduling

# Whoever runs the tests may have exported where servers of hers are: no test finds them, nor a process that it starts.
for _name in [name for name in os.environ if name.endswith(("DATABASE_URL", "AMQP_URL", "LLM_BASE_URL", "SMTP_URL"))]:
    del os.environ[_name]

# A shell starts what it runs in the background with SIGINT ignored, which all its children would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Each process of the tests chooses from ports of its own: between choice and use another one might take the same.
# The first thousand is the default for media, and some tests say which ports their media have.
_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_first = 21_000 + _process % 5 * 2_000
_own = {*range(_first, _first + 2_000)}.difference(range(24_000, 24_100), range(25_000, 25_020), range(29_800, 29_900))
system._handed_out.update(port for port in system.PORT_RANGE if port not in _own)

# Rich tracebacks with all locals take seconds to draw and block the loop meanwhile.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)
# A test machine is shared and has a time limit for each test; an example has none of its own.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


T = TypeVar("T")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    return Scheduling(config, log) if config.option.dist == "loadfile" else None


def _apart(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` in a loop of its own: the first to ask for a server may be an asynchronous fixture."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _stop(programs: list[Running]) -> None:
    for program in reversed(programs):
        await program.stop()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The administrator's DSN."""
    with quick_folder(tmp_path_factory.mktemp("postgres-server")) as folder:
        server, dsn = _apart(start_postgres(folder))
        yield dsn
        _apart(_stop([server]))


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The AMQP URL of a node."""
    programs, url = _apart(start_rabbitmq(tmp_path_factory.mktemp("rabbitmq-server")))
    yield url
    _apart(_stop(programs))


@pytest.fixture(scope="session")
def databases(postgres_server: str) -> Iterator[Databases]:
    made = Databases(postgres_server)
    yield made
    _apart(made.close())


@pytest.fixture(scope="session")
def tables() -> Tables | None:
    """Whose tables `database_url` has at the start; a folder's conftest names a service's."""
    return None


@pytest.fixture
async def database_url(databases: Databases, tables: Tables | None) -> AsyncIterator[str]:
    """The DSN of a fresh database with `tables`; dropped after the test, whoever is still connected."""
    async with databases.fresh(tables) as dsn:
        yield dsn


@pytest.fixture
async def empty_database_url(databases: Databases) -> AsyncIterator[str]:
    """The DSN of a fresh database without any table."""
    async with databases.fresh(None) as dsn:
        yield dsn


@pytest.fixture
def amqp_prefix() -> str:
    """A prefix for the names of exchanges and queues that no other test has."""
    return f"test-{uuid.uuid4().hex[:12]}"
