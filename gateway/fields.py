"""Types of settings that are more than one word of text."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import BeforeValidator, HttpUrl, TypeAdapter
from pydantic_settings import NoDecode

_URL = TypeAdapter(HttpUrl)
_QUOTA = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,4})")


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many requests in so many seconds; written `600/60`."""

    requests: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.requests}/{self.seconds}"


def _split(text: object) -> object:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


def _origin(url: str) -> str:
    parsed = _URL.validate_python(url)
    if parsed.path != "/" or parsed.query or parsed.fragment or parsed.username:
        raise ValueError(f"{parsed.host} must be followed by nothing but a port")
    return str(parsed).rstrip("/")


def _origins(urls: object) -> tuple[str, ...]:
    instances = _split(urls)
    if not isinstance(instances, tuple | list) or not instances:
        raise ValueError("at least one URL is needed")
    return tuple(_origin(url) for url in instances)


def _networks(text: object) -> object:
    parts = _split(text)
    return tuple(ip_network(part) for part in parts) if isinstance(parts, tuple) else parts


def _allowance(text: object) -> object:
    if isinstance(text, Allowance):
        return text
    match = _QUOTA.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must be requests, a slash and seconds, such as 600/60")
    return Allowance(int(match[1]), int(match[2]))


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Instances = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)]
Quota = Annotated[Allowance, NoDecode, BeforeValidator(_allowance)]
