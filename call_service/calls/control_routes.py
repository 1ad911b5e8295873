"""The endpoints that command a live call. Each waits up to two seconds for what comes of it."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
from aiohttp import web

from call_service.calls import errors
from call_service.calls.commands import Kind
from call_service.calls.control_schemas import (
    CommandAnswer,
    CommandObject,
    DtmfRequest,
    SayRequest,
    TransferRequest,
)
from call_service.calls.routes import CALLS
from shared.endpoints import Context, Router, unprocessable
from shared.scopes import Scope

REFUSALS = [
    errors.CallNotFoundError,
    errors.CallNotInProgressError,
    errors.CallEndedError,
    errors.TooManyCommandsError,
]

router = Router("Calls")


async def _command(ctx: Context[Any], kind: Kind, arguments: Mapping[str, Any]) -> CommandAnswer:
    command = await ctx.request.app[CALLS].command(ctx.tenant, ctx.path("call_id"), kind, arguments)
    return CommandAnswer(command=CommandObject.of(command))


async def _result(ctx: Context[Any], response: web.StreamResponse) -> None:
    """Wait for what comes of the command; only once it is committed does its worker see it."""
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    asked = orjson.loads(response.body)["command"]
    with suppress(errors.CommandNotFoundError):  # a key can be repeated when the call is deleted
        command = await ctx.request.app[CALLS].command_result(asked["call_id"], asked["command_id"])
        response.body = CommandAnswer(command=CommandObject.of(command)).model_dump_json(by_alias=True).encode()


@router.add(
    "POST",
    "/call/{call_id}/say",
    scope=Scope.CALLS_WRITE,
    idempotent=True,
    status=202,
    body=SayRequest,
    answer=CommandAnswer,
    errors=REFUSALS,
    invalid=unprocessable,
    afterwards=_result,
)
async def say(ctx: Context[SayRequest]) -> CommandAnswer:
    """Let the agent say something."""
    return await _command(ctx, "say", ctx.body.model_dump())


@router.add(
    "POST",
    "/call/{call_id}/dtmf",
    scope=Scope.CALLS_WRITE,
    idempotent=True,
    status=202,
    body=DtmfRequest,
    answer=CommandAnswer,
    errors=REFUSALS,
    invalid=unprocessable,
    afterwards=_result,
)
async def press_keys(ctx: Context[DtmfRequest]) -> CommandAnswer:
    """Press keys towards the other party."""
    return await _command(ctx, "dtmf", ctx.body.model_dump())


@router.add(
    "POST",
    "/call/{call_id}/transfer",
    scope=Scope.CALLS_WRITE,
    idempotent=True,
    status=202,
    body=TransferRequest,
    answer=CommandAnswer,
    errors=[*REFUSALS, errors.TransferNotAllowedError],
    invalid=unprocessable,
    afterwards=_result,
)
async def transfer(ctx: Context[TransferRequest]) -> CommandAnswer:
    """Let the other party talk with somebody else; the agent goes on where that fails."""
    return await _command(ctx, "transfer", ctx.body.model_dump())


@router.add(
    "POST",
    "/call/{call_id}/hold",
    scope=Scope.CALLS_WRITE,
    status=202,
    answer=CommandAnswer,
    errors=REFUSALS,
    afterwards=_result,
)
async def hold(ctx: Context[None]) -> CommandAnswer:
    """Put the other party on hold: the agent neither hears nor speaks."""
    return await _command(ctx, "hold", {})


@router.add(
    "POST",
    "/call/{call_id}/unhold",
    scope=Scope.CALLS_WRITE,
    status=202,
    answer=CommandAnswer,
    errors=REFUSALS,
    afterwards=_result,
)
async def unhold(ctx: Context[None]) -> CommandAnswer:
    """Go on talking."""
    return await _command(ctx, "unhold", {})


@router.add(
    "GET",
    "/call/{call_id}/commands/{command_id}",
    scope=Scope.CALLS_READ,
    answer=CommandAnswer,
    errors=[errors.CallNotFoundError, errors.CommandNotFoundError],
)
async def get_command(ctx: Context[None]) -> CommandAnswer:
    """Read what came of a command."""
    command = await ctx.request.app[CALLS].find_command(ctx.tenant, ctx.path("call_id"), ctx.path("command_id"))
    return CommandAnswer(message="the command is here.", command=CommandObject.of(command))
