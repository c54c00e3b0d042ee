"""Free TCP ports on loopback for servers that must be told their port before they start."""

from __future__ import annotations

import os
import random
import socket

# Below the range from which the system takes the ports of outgoing connections (32768 up on Linux, 49152 elsewhere): nobody
# is given one of these by chance between our look and the server's bind.
_LOWEST, _HIGHEST = 15_000, 32_000

# Workers of pytest-xdist take theirs from parts of their own: between the look and the bind nobody holds a port.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PART = (_HIGHEST - _LOWEST) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def free_ports(count: int = 1) -> int:
    """The first of `count` free ports in a row (router.1 listens at the first, router.2 at the next, ...)."""
    lowest = _LOWEST + _WORKER * _PART
    for _ in range(1000):
        first = lowest + random.randrange(_PART - count)
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise RuntimeError(f"no {count} free ports in a row between {lowest} and {lowest + _PART}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
