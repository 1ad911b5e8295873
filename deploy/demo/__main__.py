"""`python -m deploy.demo`: places one call through the public API of the running stack and shows all of it."""

import asyncio
import sys
import time
from pathlib import Path

import aiohttp
import click
from rich.console import Console
from rich.markup import escape

from deploy.demo.api import Api, DemoError
from deploy.demo.receiver import Receiver
from deploy.demo.story import AGENT, Story
from deploy.local.control import running_state
from deploy.local.system import VAR

CALLEE = "+12025550100"
LIMIT_SECONDS = 300


async def _tell(base_url: str, var: Path, number: str, say: str, console: Console) -> None:
    async with aiohttp.ClientSession() as session, Receiver().running() as receiver:
        await asyncio.wait_for(Story(Api(session, base_url), receiver, var, console).tell(number, say), LIMIT_SECONDS)


@click.command(help=__doc__)
@click.option("--number", envvar="NUMBER", default=CALLEE, show_default=True, help="Whom to call, E.164.")
@click.option("--say", envvar="SAY", default=AGENT, help="The agent's instruction.")
@click.option("--var", type=click.Path(path_type=Path), default=VAR, help="Folder of the running stack.")
def main(number: str, say: str, var: Path) -> None:
    console = Console(soft_wrap=True)
    state = running_state(var.resolve())
    if state is None:
        console.print("The stack is not running: `make up` starts it, `make demo` does both.")
        sys.exit(1)
    began = time.monotonic()
    try:
        asyncio.run(_tell(state.url, var, number.strip() or CALLEE, say.strip() or AGENT, console))
    except (DemoError, TimeoutError) as error:
        console.print(f"\n[red]The demo failed:[/] {escape(str(error) or f'it took over {LIMIT_SECONDS} s.')}")
        sys.exit(1)
    console.print(
        f"\n[green]All of it happened[/] in {time.monotonic() - began:.0f} s. The stack keeps running at {state.url} "
        "(make status, make logs, make down)."
    )


if __name__ == "__main__":
    main()
