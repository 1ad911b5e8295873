"""TLS contexts: who we trust as a client, who we are as a server."""

import ssl
from collections.abc import Iterable
from pathlib import Path

import structlog

from call_service.carriers.sip.trunk import Trunk

log = structlog.get_logger()

_Origin = tuple[str | tuple[str, int] | None, bool]


def client_context(trunk: Trunk) -> ssl.SSLContext:
    """Verifies the trunk's certificate for its name (RFC 5922), by its own CA if it has one.

    Raises:
        OSError: the CA file cannot be read.
    """
    context = ssl.create_default_context(cafile=trunk.ca_file)
    if not trunk.verifies:
        log.warning("sip.tls_not_verified", trunk=trunk.name)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Our certificate for peers that connect to us. Blocks: it reads files.

    Raises:
        OSError: a file cannot be read, or they do not belong together (`ssl.SSLError`).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class ClientContexts:
    """The context for a name: its trunk's, else one that verifies by the system's CAs."""

    def __init__(self) -> None:
        self._by_name: dict[str, ssl.SSLContext] = {}
        self._made: dict[_Origin, ssl.SSLContext] = {}
        self._default = ssl.create_default_context()

    def use(self, trunks: Iterable[Trunk]) -> None:
        """Have those of these trunks. Blocks: it reads files. A trunk whose CA cannot be read gets the system's.

        Reading the CAs of a system takes tens of milliseconds, and this is asked every few seconds: what did not change
        is kept. Connections that are made meanwhile go by what was known before.
        """
        made: dict[_Origin, ssl.SSLContext] = {}
        by_name: dict[str, ssl.SSLContext] = {}
        for trunk in trunks:
            if trunk.transport != "tls":
                continue
            try:
                origin = _origin(trunk)
                made[origin] = made.get(origin) or self._made.get(origin) or client_context(trunk)
            except OSError:
                log.error("sip.ca_file_unreadable", trunk=trunk.name)  # noqa: TRY400 # the reason is in the name
            else:
                by_name[trunk.host.lower()] = made[origin]
        self._by_name, self._made = by_name, made

    def __call__(self, name: str) -> ssl.SSLContext:
        return self._by_name.get(name.lower(), self._default)


def _origin(trunk: Trunk) -> _Origin:
    """What a context is made of: the CA file as of its last change, and whether it verifies."""
    return trunk.ca_file and (trunk.ca_file, Path(trunk.ca_file).stat().st_mtime_ns), trunk.verifies
