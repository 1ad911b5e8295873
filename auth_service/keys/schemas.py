"""Public keys as JSON (RFC 7517, RFC 8037)."""

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

_KEY_EXAMPLE: JsonDict = {
    "kty": "OKP",
    "crv": "Ed25519",
    "alg": "EdDSA",
    "use": "sig",
    "kid": "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}


class Jwk(BaseModel):
    """One Ed25519 public key."""

    model_config = ConfigDict(json_schema_extra={"example": _KEY_EXAMPLE})

    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = "EdDSA"
    use: str = "sig"
    kid: str
    x: str


class JwkSet(BaseModel):
    """The keys that access tokens are, were and will be signed with."""

    model_config = ConfigDict(json_schema_extra={"example": {"keys": [_KEY_EXAMPLE]}})

    keys: list[Jwk]
