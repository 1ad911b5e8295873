"""Dialogs: RFC 3261, 12. Pure: it builds requests and judges those that come; it sends nothing."""

from call_service.carriers.sip.flow import Flow
from call_service.carriers.sip.message import Headers, Message, Request, Response
from call_service.carriers.sip.syntax import NameAddr, SipUri

MAX_FORWARDS = ("Max-Forwards", "70")


class Dialog:
    """The peer relationship of one call. `flow` is where its first message came from or went to.

    `server_name` is whom the certificate of a next hop that is given as an address must be for.
    """

    def __init__(
        self,
        call_id: str,
        local: NameAddr,
        remote: NameAddr,
        flow: Flow,
        *,
        target: str,
        routes: tuple[str, ...],
        server_name: str,
    ) -> None:
        self.call_id = call_id
        self.local = local
        self.remote = remote
        self.target = target
        self.routes = routes
        self.flow = flow
        self.server_name = server_name
        self.local_cseq = 0
        self.remote_cseq: int | None = None

    @classmethod
    def of_caller(cls, invite: Request, response: Response, flow: Flow, *, server_name: str = "") -> "Dialog":
        """12.1.2: from the answer to our INVITE."""
        target = response.contact.uri if response.contact else invite.uri
        routes = tuple(reversed(response.all("Record-Route")))
        dialog = cls(
            invite.call_id, invite.from_, response.to, flow, target=target, routes=routes, server_name=server_name
        )
        dialog.local_cseq = invite.cseq
        return dialog

    @classmethod
    def of_callee(cls, invite: Request, tag: str, flow: Flow, *, server_name: str = "") -> "Dialog":
        """12.1.1: from an INVITE we answer with `tag`."""
        target = invite.contact.uri if invite.contact else invite.from_.uri
        routes = tuple(invite.all("Record-Route"))
        own = invite.to.tagged(tag)
        dialog = cls(invite.call_id, own, invite.from_, flow, target=target, routes=routes, server_name=server_name)
        dialog.remote_cseq = invite.cseq
        return dialog

    @property
    def next_hop(self) -> SipUri:
        """Where its requests go (12.2.1.1)."""
        return SipUri.parse(NameAddr.parse(self.routes[0]).uri if self.routes else self.target)

    def request(self, method: str, headers: Headers = (), body: bytes = b"", *, cseq: int | None = None) -> Request:
        """A request within the dialog; `cseq` for the ACK, which has that of its INVITE."""
        if cseq is None:
            self.local_cseq += 1
            cseq = self.local_cseq
        uri, routes = self.target, self.routes
        if routes and "lr" not in SipUri.parse(NameAddr.parse(routes[0]).uri).params:
            # A strict router of RFC 2543 expects itself in the request line.
            uri, routes = NameAddr.parse(routes[0]).uri, (*routes[1:], f"<{self.target}>")
        own = [
            *(("Route", route) for route in routes),
            MAX_FORWARDS,
            ("From", str(self.local)),
            ("To", str(self.remote)),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
        ]
        return Request(method, uri, [*own, *headers], body)

    def is_from_peer(self, request: Request) -> bool:
        """Whether the tags are those of this dialog."""
        return request.from_.tag == self.remote.tag and request.to.tag == self.local.tag

    def is_in_order(self, request: Request) -> bool:
        """Whether the CSeq is newer than the last (12.2.2); remembers it."""
        if self.remote_cseq is not None and request.cseq <= self.remote_cseq:
            return False
        self.remote_cseq = request.cseq
        return True

    def refresh_target(self, message: Message) -> None:
        """A re-INVITE, an UPDATE, or the answer to one, may move the peer."""
        if message.contact:
            self.target = message.contact.uri
