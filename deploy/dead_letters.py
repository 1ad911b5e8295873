"""`python -m deploy.dead_letters list|replay [QUEUE]`: events that a consumer failed on too often, on AMQP_URL."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

from auth_service.mail.events import QUEUE as MAILS
from call_service.calls.consumer import QUEUE as PROJECTS
from project_service.webhooks.events import QUEUE as WEBHOOKS
from shared.clock import rfc3339
from shared.dead_letters import DeadLetters, QueueNotFoundError
from shared.errors import ApiError

QUEUES = (MAILS, PROJECTS, WEBHOOKS)
T = TypeVar("T")

_url = click.option("--amqp-url", envvar="AMQP_URL", required=True, help="RabbitMQ; AMQP_URL by default.")
_prefix = click.option("--prefix", default="", help="What the names of queues begin with, where they do.")


@click.group()
def main() -> None:
    """Look at dead letters, and give them to their queue again once its consumer is mended."""


@main.command("list")
@click.argument("queue", required=False)
@click.option("--limit", default=20, show_default=True, help="Most events to show.")
@_url
@_prefix
def list_(queue: str | None, limit: int, amqp_url: str, prefix: str) -> None:
    """Show the events of QUEUE, else how many each queue has."""
    if queue is None:
        for name in QUEUES:
            click.echo(f"{_run(_count(amqp_url, prefix, name)):>8}  {name}")
        return
    for line in _run(_lines(amqp_url, prefix, queue, limit)):
        click.echo(line)


@main.command()
@click.argument("queue")
@click.option("--id", "event_ids", multiple=True, help="Only the event with this id; may repeat.")
@_url
@_prefix
def replay(queue: str, event_ids: tuple[str, ...], amqp_url: str, prefix: str) -> None:
    """Give the dead letters of QUEUE to its consumer again."""
    click.echo(f"{_run(_replay(amqp_url, prefix, queue, event_ids))} replayed.")


async def _count(url: str, prefix: str, queue: str) -> int:
    try:
        async with DeadLetters.of(url, queue, prefix=prefix) as letters:
            return letters.count
    except QueueNotFoundError:
        return 0


async def _lines(url: str, prefix: str, queue: str, limit: int) -> list[str]:
    async with DeadLetters.of(url, queue, prefix=prefix) as letters:
        return [
            f"{event.id}  {rfc3339(event.time)}  {event.type}  {event.subject} #{event.sequence}"
            if event
            else "(no event)"
            for event in await letters.read(limit)
        ]


async def _replay(url: str, prefix: str, queue: str, event_ids: tuple[str, ...]) -> int:
    async with DeadLetters.of(url, queue, prefix=prefix) as letters:
        return await letters.replay(event_ids)


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except ApiError as error:
        raise click.ClickException(error.message) from error


if __name__ == "__main__":
    main()
