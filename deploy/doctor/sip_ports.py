"""The worker's ports and addresses for SIP and RTP."""

import socket
from ipaddress import ip_address

import psutil

from call_service.settings import WorkerSettings
from deploy.doctor.hops import BrokenError, SkippedError
from deploy.doctor.site import Site, worker_settings

WORKER_COMMANDS = ({"call_service", "worker"}, {"deploy.local.all_in_one"})


async def sip_ports(site: Site) -> str:
    """The ports are the worker's, or free for it; the address that trunks are told is one."""
    settings = worker_settings(site)
    if settings is None:
        raise SkippedError("the worker's settings are not known here, or wrong")
    address = str(settings.sip_address)
    _need_address(address)
    advertised = _advertised(settings)
    pid = site.process("call-worker").pid
    return (
        f"{_sip_port(address, settings.sip_port, pid)}; {_rtp_ports(address, settings)}; trunks are told {advertised}"
    )


def _need_address(address: str) -> None:
    try:
        _bind(address, 0, socket.SOCK_DGRAM).close()
    except OSError as error:
        hint = "it is the address of a network interface here (`ip address`); that of a NAT is SIP_ADVERTISED_ADDRESS"
        raise BrokenError(f"SIP_ADDRESS {address} is no address of this machine: {error.strerror}", hint) from error


def _advertised(settings: WorkerSettings) -> str:
    advertised = str(settings.sip_advertised_address or settings.sip_address)
    if ip_address(advertised).is_unspecified:
        hint = "set SIP_ADVERTISED_ADDRESS to the address that trunks reach this machine at"
        raise BrokenError(f"trunks would be told to send audio to {advertised}", hint)
    return advertised


def _sip_port(address: str, port: int, worker_pid: int | None) -> str:
    for kind, name in ((socket.SOCK_DGRAM, "UDP"), (socket.SOCK_STREAM, "TCP")):
        try:
            _bind(address, port, kind).close()
        except OSError as error:
            owner = _owner(port, name.lower())
            if owner and _is_worker(owner, worker_pid):
                return f"SIP port {port} is the worker's (pid {owner.pid})"
            by = f"by {owner.name()} (pid {owner.pid})" if owner else f"({error.strerror})"
            hint = "stop that, or choose another SIP_PORT and tell your trunks; two workers need a port each"
            raise BrokenError(f"SIP_PORT {port}/{name} at {address} is taken {by}", hint) from error
    return f"SIP port {port} is free (a worker opens it with its first trunk)"


def _rtp_ports(address: str, settings: WorkerSettings) -> str:
    first, last = settings.rtp_first_port, settings.rtp_last_port
    first += first % 2
    calls = (last + 1 - first) // 2
    if calls < settings.worker_max_calls:
        hint = "widen RTP_FIRST_PORT to RTP_LAST_PORT, two ports a call, and open them in the firewall as UDP"
        raise BrokenError(f"RTP ports {first} to {last} are enough for {calls} calls only", hint)
    if not any(_is_free(address, port) for port in range(first, last, 2)):
        raise BrokenError(f"no RTP port from {first} to {last} is free", "another program holds them: `ss -uanp`")
    return f"RTP {first} to {last} for {calls} calls"


def _is_free(address: str, port: int) -> bool:
    try:
        _bind(address, port, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def _bind(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    probe = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    try:
        if kind == socket.SOCK_STREAM:  # connections of an earlier worker may still be ending
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, port))
    except OSError:
        probe.close()
        raise
    return probe


def _owner(port: int, kind: str) -> psutil.Process | None:
    """Who listens there, where the system tells."""
    try:
        for one in psutil.net_connections(kind):
            if one.pid and one.laddr and one.laddr[1] == port and one.status in {psutil.CONN_LISTEN, psutil.CONN_NONE}:
                return psutil.Process(one.pid)
    except psutil.Error:
        pass
    return None


def _is_worker(process: psutil.Process, pid: int | None) -> bool:
    if pid is not None:
        return process.pid == pid
    try:
        words = set(process.cmdline())
    except psutil.Error:
        return False
    return any(command <= words for command in WORKER_COMMANDS)
