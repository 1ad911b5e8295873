"""What we know about one connection to the telephone network."""

from datetime import timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, SecretStr, model_validator

from call_service.carriers.sip.digest import Algorithm, Credentials
from call_service.carriers.sip.syntax import SipUri

Transport = Literal["udp", "tcp", "tls"]


class Trunk(BaseModel):
    """A SIP trunk: a provider's, or an operator's own Asterisk, FreeSWITCH or Kamailio.

    `source_networks` are where its calls come from beside the addresses of `host`. With `inbound="digest"` its calls
    may come from anywhere, but must answer a challenge with `username` and `password`; MD5 is what nearly all know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    host: str = Field(pattern=r"^[A-Za-z0-9.:_-]{1,253}$")
    port: int | None = Field(default=None, ge=1, le=65_535)
    transport: Transport = "udp"
    username: str = Field(default="", pattern=r"^[^\x00-\x20\"<>@:;]{0,128}$")
    password: SecretStr = SecretStr("")
    realm: str = Field(default="", max_length=128)
    caller_ids: tuple[str, ...] = Field(default=(), max_length=10_000)
    registers: bool = False
    registration: timedelta = Field(default=timedelta(minutes=5), ge=timedelta(seconds=30), le=timedelta(hours=2))
    pings_every: timedelta | None = Field(default=timedelta(seconds=30), ge=timedelta(seconds=5))
    inbound: Literal["address", "digest"] = "address"
    inbound_algorithm: Algorithm = "MD5"
    source_networks: tuple[IPvAnyNetwork, ...] = Field(default=(), max_length=256)
    srtp: Literal["off", "optional", "required"] = "off"
    calls_per_second: float = Field(default=1.0, gt=0, le=1_000)
    max_calls: int = Field(default=100, ge=1, le=10_000)
    ca_file: str | None = None
    verifies: bool = True
    accepts_refer: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.registers or self.inbound == "digest") and not self.username:
            raise ValueError("registration and digest need a username")
        if self.srtp == "required" and self.transport != "tls":
            raise ValueError("SRTP keys travel in the signalling: required SRTP needs TLS")
        return self

    @property
    def credentials(self) -> Credentials | None:
        """How challenges are answered; None without a username."""
        if not self.username:
            return None
        return Credentials(self.username, self.password.get_secret_value(), self.realm)

    def uri(self, user: str = "") -> SipUri:
        """The address of `user` at this trunk."""
        params: dict[str, str | None] = {} if self.transport == "udp" else {"transport": self.transport}
        return SipUri(self.host, user, self.port, params=params)
