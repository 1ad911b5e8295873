"""`/webhook/*`: log, replay, test and rotation."""

from aiohttp import web

from project_service.errors import ProjectNotFoundError
from project_service.webhooks.errors import DeliveryNotFoundError, WebhookNotSetError
from project_service.webhooks.schemas import (
    DeliveryList,
    DeliveryQuery,
    DeliveryReference,
    EndpointReference,
    Replayed,
    ReplayQuery,
    RotatedSecret,
)
from project_service.webhooks.service import Webhooks
from shared.endpoints import Context, Router, unprocessable
from shared.pagination import InvalidCursorError
from shared.scopes import Scope

router = Router("Webhooks")
WEBHOOKS = web.AppKey("webhooks", Webhooks)


@router.add(
    "GET",
    "/webhook/deliveries",
    scope=Scope.PROJECTS_READ,
    query=DeliveryQuery,
    answer=DeliveryList,
    errors=[InvalidCursorError],
    invalid=unprocessable,
)
async def list_deliveries(ctx: Context[None]) -> DeliveryList:
    """The delivery log: every message, its state and its attempts."""
    found, cursor = await ctx.request.app[WEBHOOKS].deliveries(ctx.tenant, ctx.query(DeliveryQuery, unprocessable))
    return DeliveryList(data=found, next_cursor=cursor)


@router.add(
    "POST",
    "/webhook/deliveries/{deliveryId}/replay",
    scope=Scope.PROJECTS_WRITE,
    idempotent=True,
    status=202,
    answer=DeliveryReference,
    errors=[DeliveryNotFoundError],
)
async def replay_delivery(ctx: Context[None]) -> DeliveryReference:
    """Send one delivery again, with its own id and body and a fresh signature."""
    await ctx.request.app[WEBHOOKS].replay(ctx.tenant, ctx.path("deliveryId"))
    return DeliveryReference(delivery_id=ctx.path("deliveryId"))


@router.add(
    "POST",
    "/webhook/replay",
    scope=Scope.PROJECTS_WRITE,
    idempotent=True,
    status=202,
    query=ReplayQuery,
    answer=Replayed,
    errors=[ProjectNotFoundError],
    invalid=unprocessable,
)
async def replay_deliveries(ctx: Context[None]) -> Replayed:
    """Send again what was delivered or parked since a moment."""
    query = ctx.query(ReplayQuery, unprocessable)
    return Replayed(replayed=await ctx.request.app[WEBHOOKS].replay_since(ctx.tenant, query))


@router.add(
    "POST",
    "/webhook/test",
    scope=Scope.PROJECTS_WRITE,
    idempotent=True,
    status=202,
    body=EndpointReference,
    answer=DeliveryReference,
    errors=[WebhookNotSetError],
    invalid=unprocessable,
)
async def test_webhook(ctx: Context[EndpointReference]) -> DeliveryReference:
    """Send a message of type `webhook.test` to the project's URL."""
    return DeliveryReference(delivery_id=await ctx.request.app[WEBHOOKS].test(ctx.tenant, ctx.body.project_id))


@router.add(
    "POST",
    "/webhook/rotate-secret",
    scope=Scope.PROJECTS_WRITE,
    idempotent=True,
    status=201,
    body=EndpointReference,
    answer=RotatedSecret,
    errors=[WebhookNotSetError],
    invalid=unprocessable,
)
async def rotate_webhook_secret(ctx: Context[EndpointReference]) -> RotatedSecret:
    """A new signing secret; the one before it signs beside it for 24 hours."""
    secret, until = await ctx.request.app[WEBHOOKS].rotate(ctx.tenant, ctx.body.project_id)
    return RotatedSecret(signing_secret=secret, previous_valid_until=until)
