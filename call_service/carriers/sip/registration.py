"""Registrations (RFC 3261, 10): refreshed before they lapse, tried again after a failure, taken back at the end."""

from collections.abc import Callable

from call_service.carriers.sip.agent import ABOUT_US, UserAgent
from call_service.carriers.sip.dialog import MAX_FORWARDS
from call_service.carriers.sip.flow import Flow
from call_service.carriers.sip.message import Headers, NoResponse, Request, Response
from call_service.carriers.sip.syntax import NameAddr, SipSyntaxError, number
from call_service.carriers.sip.transports import TransportError
from call_service.carriers.sip.trunk import Trunk

FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 300.0
LONGEST_EXPIRES = 2**31
# Refreshed between these shares of its life, so that many trunks do not refresh at once.
REFRESH_SHARE = (0.5, 0.8)


class Registration:
    """Keeps one binding of a trunk's account. `last_error` tells why there is none, without secrets."""

    def __init__(self, agent: UserAgent, trunk: Trunk) -> None:
        self.is_registered = False
        self.last_error: str | None = None
        self._agent = agent
        self._trunk = trunk
        self._account = str(trunk.uri(trunk.username))
        self._call_id = agent.token()
        self._tag = agent.token()
        self._cseq = 0
        self._expires = int(trunk.registration.total_seconds())
        self._failures = 0

    async def run(self) -> None:
        """Register until cancelled."""
        while True:
            await self._agent.pause(await self._renew())

    async def withdraw(self) -> None:
        """Take the binding back (10.2.2)."""
        if self.is_registered:
            self.is_registered = False
            await self._register(0)

    async def _renew(self) -> float:
        """Register once. Returns the seconds until the next time."""
        response = await self._register(self._expires)
        if response is not None and response.status == 423:
            self._expires = _seconds(response.get("Min-Expires"), self._expires)
            response = await self._register(self._expires)
        if response is not None and response.is_success:
            self.is_registered, self.last_error, self._failures = True, None, 0
            return self._granted(response) * self._agent.random.uniform(*REFRESH_SHARE)
        self.is_registered = False
        if response is not None:
            self.last_error = (
                "no answer" if isinstance(response, NoResponse) else f"{response.status} {response.reason}"
            )
        self._failures += 1
        longest = min(FIRST_RETRY_SECONDS * (1 << min(self._failures, 10)), LONGEST_RETRY_SECONDS)
        return longest * self._agent.random.uniform(0.5, 1.0)

    async def _register(self, expires: int) -> Response | None:
        response: Response | None = None
        targets = await self._agent.resolver.resolve(self._trunk.uri())
        if not targets:
            self.last_error = "the name does not resolve"
        for target in targets:
            try:
                flow = await self._agent.network.flow(target)
            except TransportError as error:
                self.last_error = str(error)
                continue
            response = await self._agent.authenticated(self._maker(flow, expires), flow, self._trunk.credentials)
            if response.status not in {408, 503}:
                self._agent.resolver.trust(target.address)
                break
            self._agent.resolver.avoid(target.address)
        return response

    def _maker(self, flow: Flow, expires: int) -> Callable[[Headers], Request]:
        def make(extra: Headers) -> Request:
            self._cseq += 1
            headers: Headers = (
                MAX_FORWARDS,
                ("From", f"<{self._account}>;tag={self._tag}"),
                ("To", f"<{self._account}>"),
                ("Call-ID", self._call_id),
                ("CSeq", f"{self._cseq} REGISTER"),
                self._agent.contact(flow),
                ("Expires", str(expires)),
                *ABOUT_US,
                *extra,
            )
            return Request("REGISTER", str(self._trunk.uri()), headers)

        return make

    def _granted(self, response: Response) -> int:
        """Our Contact's expiry, else the header's (10.2.4); the registrar may list other bindings too."""
        granted = _seconds(response.get("Expires"), self._expires)
        try:
            bindings = [NameAddr.parse(value) for value in response.all("Contact") if value != "*"]
        except SipSyntaxError:
            return granted
        own = [_seconds(one.params.get("expires"), granted) for one in bindings]
        return min(own, default=granted)


def _seconds(text: str | None, default: int) -> int:
    try:
        return max(number(text or "", LONGEST_EXPIRES), 1)
    except SipSyntaxError:
        return default
