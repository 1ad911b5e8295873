"""`python -m deploy.local`: the commands behind the Makefile."""

import asyncio
import itertools
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from deploy.local import control, logs
from deploy.local.readiness import readiness
from deploy.local.state import ProcessRecord, find
from deploy.local.supervisor import Supervisor
from deploy.local.supervisor import supervise as run_supervisor
from deploy.local.system import VAR, StartError, fail, say


@click.group(help=__doc__)
@click.option("--var", type=click.Path(path_type=Path), default=VAR, help="Folder for data, logs and secrets.")
@click.pass_context
def cli(context: click.Context, var: Path) -> None:
    context.obj = var.resolve()


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), envvar="PORT", default=8080, show_default=True)
@click.pass_obj
def up(var: Path, port: int) -> None:
    """Start the stack in the background, or repair it, and wait until it is ready."""
    began = time.monotonic()
    say("Starting Talkstack ...")
    state = control.up(var, port)
    say(f"Talkstack is ready at {state.url} ({time.monotonic() - began:.1f} s). make status, make logs, make down")


@cli.command()
@click.pass_obj
def down(var: Path) -> None:
    """Stop the stack; live calls may finish."""
    say("Talkstack is stopped." if control.down(var) else "Talkstack was not running.")


@cli.command()
@click.pass_obj
def status(var: Path) -> None:
    """Show what runs. Exit status 1 if the stack does not run or a process is not ready."""
    state = control.running_state(var)
    if state is None:
        raise StartError("Talkstack is not running: start it with `make up`.")
    table = Table("process", "pid", "port", "ready", "memory", "up", title=f"{state.url}  ({state.phase})")
    ready = asyncio.run(readiness(state))
    for record, is_ready in zip(state.processes, ready, strict=True):
        table.add_row(record.name, *_facts(record), "yes" if is_ready else "NO", *_use(record))
    Console().print(table)
    sys.exit(0 if all(ready) else 1)


def _facts(record: ProcessRecord) -> tuple[str, str]:
    return str(record.pid), str(record.port)


def _use(record: ProcessRecord) -> tuple[str, str]:
    process = find(record)
    if process is None:
        return "-", "-"
    up_for = timedelta(seconds=int(time.time() - process.create_time()))
    return f"{process.memory_info().rss / 1e6:.0f} MB", str(up_for)


@cli.command(name="logs")
@click.argument("names", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option("-n", "--lines", default=100, show_default=True, help="How many lines to begin with.")
@click.pass_obj
def show_logs(var: Path, names: tuple[str, ...], follow: bool, lines: int) -> None:
    """Show the logs of all processes, or of the named ones, merged."""
    files = logs.log_files(var / "log", names)
    if not files:
        raise StartError("There are no such logs yet: start the stack with `make up`, see names with `make status`.")
    written_from_now_on = logs.follow(var / "log", names) if follow else ()
    for line in itertools.chain(logs.recent(files, lines), written_from_now_on):
        _show(line)


def _show(line: logs.Line) -> None:
    say(f"{click.style(line.name.ljust(16), fg='cyan')} {line.text}")


@cli.command(hidden=True)
@click.option("--port", type=int, required=True)
@click.pass_obj
def supervise(var: Path, port: int) -> None:
    """Be the background process of `up`."""
    sys.exit(run_supervisor(Supervisor(var, port)))


def main() -> int:
    """Run a command; what cannot be done is one sentence and exit status 1, an interruption 130."""
    try:
        cli.main(standalone_mode=False)
    except StartError as error:
        return fail(error)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `make logs | head`
    return 0
