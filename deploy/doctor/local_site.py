"""The stack of `make up` on this machine, as its processes themselves know it."""

from collections.abc import Mapping
from pathlib import Path

import psutil

from deploy.doctor.site import DATABASES, SETTINGS, Environment, Process, Site, site_of_environment
from deploy.local.control import running_state
from deploy.local.databases import dsn_for
from deploy.local.services import SERVICES
from deploy.local.state import ProcessRecord, State, find

ROLES = {service.name: service.role for service in SERVICES}
NOT_RUNNING = "it isn't running"
# What `make up` makes itself, for settings that are read before it ran.
MADE_BY_UP = {
    "INTERNAL_TOKEN_SECRET": "-" * 32,
    "ENCRYPTION_KEY": "-" * 32,
    "DATABASE_URL": "postgresql://127.0.0.1/talkstack",
    **{service.url: "http://127.0.0.1" for service in SERVICES if service.url},
}


def find_site(var: Path, env: Environment) -> Site:
    """The deployment that `env` names (TALKSTACK_URL, or a process's own settings), else the stack under `var`."""
    state = running_state(var)
    if env.get("TALKSTACK_URL") or (state is None and {"DATABASE_URL", "INTERNAL_TOKEN_SECRET"} <= env.keys()):
        return site_of_environment(env)
    key = env.get("TALKSTACK_API_KEY", "")
    if state is None:
        planned = {**MADE_BY_UP, **{name: value for name, value in env.items() if name not in {"HOST", "PORT"}}}
        processes = tuple(Process(name, planned, pid=0) for name in SETTINGS)
        return Site(f"the stack under {var}", "", key, processes, problem=NOT_RUNNING)
    return site_of_state(state, var, key)


def site_of_state(state: State, var: Path, key: str) -> Site:
    """A stack that is running, whole or in part."""
    records = {record.name: record for record in state.processes}
    environments = {name: found for name, record in records.items() if (found := _environment(record))}
    some = next((environments[name] for name in SETTINGS if name in environments), None)
    title = f"the stack at {state.url}"
    if some is None:
        return Site(title, state.url, key, problem="none of its processes runs, or they are another user's")
    dsns = {role: _dsn(role, environments, some, var) for role in DATABASES}
    is_all_in_one = "call-worker" not in records

    def process(name: str) -> Process:
        role = ROLES[name]
        rest = {"DATABASE_URL": dsns[role]} if role else {}
        own = environments.get(name) or {**some, **rest}
        if name in records:
            return Process(name, own, (f"http://127.0.0.1:{records[name].port}",), records[name].pid)
        # In one process the gateway's page shows the worker's metrics as well.
        urls = (state.url,) if is_all_in_one and name == "call-worker" else ()
        return Process(name, {**some, **rest}, urls, records["gateway"].pid if urls else 0)

    amqp_url = some.get("AMQP_URL", "")
    return Site(title, state.url, key, tuple(process(name) for name in SETTINGS), dsns, amqp_url)


def _environment(record: ProcessRecord) -> dict[str, str] | None:
    process = find(record)
    try:
        return process.environ() if process else None
    except psutil.Error:
        return None


def _dsn(role: str, environments: Mapping[str, Environment], some: Environment, var: Path) -> str:
    """As the role's processes know it; while none of them runs, made of another role's as the start makes it."""
    for name, env in environments.items():
        if ROLES.get(name) == role and "DATABASE_URL" in env:
            return env["DATABASE_URL"]
    if dsn := some.get(f"{role.upper()}_DATABASE_URL"):
        return dsn
    other = next((env["DATABASE_URL"] for env in environments.values() if "DATABASE_URL" in env), "")
    password = var / "secrets" / f"database-{role}"
    return dsn_for(other, user=role, password=password.read_text()) if other and password.exists() else other
