"""The endpoints about the SIP messages of a call."""

from aiohttp import web

from call_service.calls.errors import CallNotEndedError, CallNotFoundError
from call_service.calls.routes import CALLS
from call_service.signalling import repository
from call_service.signalling.errors import SipMessagesNotFoundError
from call_service.signalling.ladder import LadderEntry
from call_service.signalling.pcap import capture
from call_service.signalling.schemas import SipLadder, SipMessage
from shared.endpoints import Context, Router
from shared.resources import DATABASE
from shared.scopes import Scope

PCAP = "application/vnd.tcpdump.pcap"
ERRORS = [CallNotFoundError, CallNotEndedError, SipMessagesNotFoundError]

router = Router("Calls")


@router.add("GET", "/call/{call_id}/sip", scope=Scope.CALLS_READ, answer=SipLadder, errors=ERRORS)
async def get_sip_messages(ctx: Context[None]) -> SipLadder:
    """Read the SIP messages of a call once it has ended."""
    entries = await _entries(ctx)
    return SipLadder(call_id=ctx.path("call_id"), messages=[SipMessage.of(entry) for entry in entries])


@router.add("GET", "/call/{call_id}/pcap", scope=Scope.CALLS_READ, content_type=PCAP, errors=ERRORS)
async def get_sip_capture(ctx: Context[None]) -> web.Response:
    """Download the same as a capture file for Wireshark and sngrep; audio is not in it."""
    content = capture(await _entries(ctx))
    disposition = f'attachment; filename="{ctx.path("call_id")}.pcap"'
    headers = {"Content-Disposition": disposition, "Cache-Control": "private, no-store"}
    return web.Response(body=content, content_type=PCAP, headers=headers)


async def _entries(ctx: Context[None]) -> list[LadderEntry]:
    call = await ctx.request.app[CALLS].get(ctx.tenant, ctx.path("call_id"))
    entries = await repository.of_call(ctx.request.app[DATABASE], call.id)
    if not entries:
        raise SipMessagesNotFoundError if call.completed_at else CallNotEndedError
    return entries
