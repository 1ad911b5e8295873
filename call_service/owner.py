"""Who holds a lease."""

import os
import socket


def owner_name(role: str) -> str:
    """Unique among all processes of all machines, and readable for operators."""
    return f"{role}@{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
