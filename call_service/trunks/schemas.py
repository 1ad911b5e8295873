"""Bodies of requests and answers about trunks."""

from ipaddress import IPv4Network, ip_network
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from call_service.signalling.schemas import MESSAGE_EXAMPLE, SipMessage
from call_service.trunks.domain import Test, TestStatus, Trunk, TrunkHealth, WorkerState, health
from call_service.trunks.refusals import Refusal
from shared.clock import rfc3339
from shared.e164 import E164

_ID = "0192f0c1-6666-7c44-9f3e-1b2a4c5d6e7f"
_TEST_ID = "0192f0c1-7777-7c44-9f3e-1b2a4c5d6e7f"
# Wider networks would make a trunk of half the internet.
WIDEST_IPV4, WIDEST_IPV6 = 16, 32


def _network(text: str) -> str:
    network = ip_network(text)
    if network.prefixlen < (WIDEST_IPV4 if isinstance(network, IPv4Network) else WIDEST_IPV6):
        raise ValueError(f"A network may not be wider than /{WIDEST_IPV4} (IPv6: /{WIDEST_IPV6}).")
    return str(network)


Network = Annotated[str, StringConstraints(max_length=50), AfterValidator(_network)]
Host = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9.:_-]{1,253}$")]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]

SETTINGS_EXAMPLE: dict[str, Any] = {
    "name": "provider",
    "host": "sip.example.com",
    "port": None,
    "transport": "tls",
    "srtp": "required",
    "username": "acme",
    "realm": "",
    "register": False,
    "numbers": ["+12025550199"],
    "callsPerSecond": 1.0,
    "maxConcurrentCalls": 30,
    "inbound": "address",
    "allowedAddresses": ["198.51.100.0/24"],
}


Transport = Literal["udp", "tcp", "tls"]
Srtp = Literal["off", "optional", "required"]
Proof = Literal["address", "digest"]


class TrunkBody(BaseModel):
    """A trunk to make, or what it is to be from now on. Without `password` a trunk keeps the one it has."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {**SETTINGS_EXAMPLE, "password": "a secret"}}
    )

    name: Name
    host: Host = Field(description="A name (SRV and A/AAAA are looked up, RFC 3263) or an address.")
    port: int | None = Field(None, ge=1, le=65_535, description="None: as the look-up says.")
    transport: Transport = "udp"
    srtp: Srtp = Field("off", description="`required` needs tls.")
    username: str = Field("", pattern=r"^[^\x00-\x20\"<>@:;]{0,128}$")
    realm: str = Field("", max_length=128, description="Answer challenges of this realm only; empty: of any.")
    registers: bool = Field(False, alias="register", description="Keep a registration alive.")
    numbers: list[E164] = Field([], max_length=10_000, description="The numbers that call through this trunk.")
    calls_per_second: float = Field(1.0, gt=0, le=1_000, alias="callsPerSecond")
    max_concurrent: int = Field(30, ge=1, le=10_000, alias="maxConcurrentCalls")
    inbound: Proof = Field(
        "address", description="How its calls prove where they come from: by address, or by username and password."
    )
    allowed_addresses: list[Network] = Field(
        [], max_length=256, alias="allowedAddresses", description="Where its calls come from, beside the host itself."
    )
    password: SecretStr | None = Field(None, max_length=256)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.registers or self.inbound == "digest") and not self.username:
            raise ValueError("register and inbound digest need a username")
        if self.srtp == "required" and self.transport != "tls":
            raise ValueError("SRTP keys travel in the signalling: required SRTP needs tls")
        if len(set(self.numbers)) < len(self.numbers):
            raise ValueError("a number is listed twice")
        return self


class TrunkSettings(BaseModel):
    """A trunk as stored: without the rules of `TrunkBody`, which may have changed since."""

    model_config = ConfigDict(populate_by_name=True)

    name: str
    host: str
    port: int | None
    transport: Transport
    srtp: Srtp
    username: str
    realm: str
    registers: bool = Field(alias="register")
    numbers: list[str]
    calls_per_second: float = Field(alias="callsPerSecond")
    max_concurrent: int = Field(alias="maxConcurrentCalls")
    inbound: Proof
    allowed_addresses: list[str] = Field(alias="allowedAddresses")


class WorkerStateObject(BaseModel):
    """How the trunk does at one worker; only one of them registers it."""

    worker: str
    registered: bool | None
    reachable: bool | None
    last_error: str | None
    calls: int
    since: str


_TRUNK_EXAMPLE: dict[str, Any] = {
    **SETTINGS_EXAMPLE,
    "id": _ID,
    "hasPassword": True,
    "created_at": "2026-11-25T09:00:00.000Z",
    "updated_at": "2026-11-25T09:00:00.000Z",
    "health": "up",
    "workers": [
        {
            "worker": "worker@host:4711:9f3e1b2a",
            "registered": None,
            "reachable": True,
            "last_error": None,
            "calls": 3,
            "since": "2026-11-25T09:00:01.000Z",
        }
    ],
}


class TrunkObject(TrunkSettings):
    """A trunk and how it does. `down`: no worker reaches it, or its registration is refused."""

    model_config = ConfigDict(json_schema_extra={"example": _TRUNK_EXAMPLE})

    id: str
    has_password: bool = Field(serialization_alias="hasPassword")
    created_at: str
    updated_at: str
    health: TrunkHealth
    workers: list[WorkerStateObject]

    @classmethod
    def of(cls, trunk: Trunk, states: list[WorkerState]) -> Self:
        """The public view of a stored trunk."""
        settings = {name: getattr(trunk, name) for name in TrunkSettings.model_fields}
        return cls(
            **settings,
            id=trunk.id,
            has_password=bool(trunk.password),
            created_at=rfc3339(trunk.created_at),
            updated_at=rfc3339(trunk.updated_at),
            health=health(states, registers=trunk.registers),
            workers=[
                WorkerStateObject(
                    worker=state.worker,
                    registered=state.is_registered,
                    reachable=state.is_reachable,
                    last_error=state.last_error,
                    calls=state.calls,
                    since=rfc3339(state.since),
                )
                for state in states
            ],
        )


class TrunkList(BaseModel):
    """A page of trunks, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"data": [_TRUNK_EXAMPLE], "next_cursor": None}})

    data: list[TrunkObject]
    next_cursor: str | None


class TestBody(BaseModel):
    """What to test. With `number` somebody is called and hung up on once audio came, or after 20 s."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"number": "+12025550100", "from": "+12025550199"}}
    )

    number: E164 | None = None
    from_: E164 | None = Field(None, alias="from", description="One of the trunk's numbers; else its first.")


class StepObject(BaseModel):
    """One step, and how long it took."""

    name: Literal["dns", "transport", "tls", "registration", "options", "invite", "media"]
    ok: bool
    detail: str
    ms: int


class TestObject(BaseModel):
    """A test. A step that is missing was made impossible by the one before, or not asked for."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": _TEST_ID,
                "trunk_id": _ID,
                "number": "+12025550100",
                "status": "passed",
                "worker": "worker@host:4711:9f3e1b2a",
                "steps": [
                    {"name": "dns", "ok": True, "detail": "198.51.100.7:5061", "ms": 12},
                    {"name": "transport", "ok": True, "detail": "connected", "ms": 41},
                ],
                "created_at": "2026-11-25T09:00:00.000Z",
                "finished_at": "2026-11-25T09:00:04.120Z",
            }
        }
    )

    id: str
    trunk_id: str
    number: str | None
    status: TestStatus
    worker: str | None
    steps: list[StepObject]
    created_at: str
    finished_at: str | None

    @classmethod
    def of(cls, test: Test) -> Self:
        return cls(
            id=test.id,
            trunk_id=test.trunk_id,
            number=test.number,
            status=test.status,
            worker=test.worker,
            steps=[StepObject.model_validate(step) for step in test.steps],
            created_at=rfc3339(test.created_at),
            finished_at=rfc3339(test.finished_at) if test.finished_at else None,
        )


_REFUSAL_EXAMPLE: dict[str, Any] = {
    "time": "2026-11-25T09:00:00.000Z",
    "from": "+12025550100",
    "to": "+12025550199",
    "sip_code": 404,
    "reason": "unknown_number",
    "call_id": None,
    "messages": [MESSAGE_EXAMPLE],
}


class RefusalObject(BaseModel):
    """A call that came in and was refused. `call_id`: it is in the list of calls as well."""

    time: str
    from_: str = Field(alias="from")
    to: str
    sip_code: int
    reason: str
    call_id: str | None
    messages: list[SipMessage]

    @classmethod
    def of(cls, refusal: Refusal) -> Self:
        """The public view of a stored refusal."""
        assert refusal.refused_at
        return cls(
            time=rfc3339(refusal.refused_at),
            **{"from": refusal.from_number},
            to=refusal.to_number,
            sip_code=refusal.sip_code,
            reason=refusal.reason,
            call_id=refusal.call_id,
            messages=[SipMessage.of(entry) for entry in refusal.messages],
        )


class RefusalList(BaseModel):
    """The last calls that a trunk's owner did not get, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"data": [_REFUSAL_EXAMPLE]}})

    data: list[RefusalObject]
