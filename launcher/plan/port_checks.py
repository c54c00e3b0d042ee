"""Whether the ports a cluster needs are free, and who holds them if not."""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import Any, Final

import psutil

from launcher.errors import PortInUse
from launcher.plan.plan import Plan
from launcher.plan.spec import ProcessSpec
from luabus.host_addresses import format_address
from luabus.visible import visible

LONGEST_COMMAND: Final = 120
"""Characters of the command line of who has a port."""

_TAKEN: Final = "the port is taken by"


def check_ports(plan: Plan) -> None:
    """Raises `PortInUse` that names every taken port with the process that holds it."""
    problems = [problem for spec in plan.specs if (problem := check_address(spec))]
    if problems:
        raise PortInUse("\n".join(problems))


def check_address(spec: ProcessSpec) -> str:
    """Why a process cannot listen where it should; empty when it can, or does not listen."""
    if spec.address is None or not (reason := why_not(*spec.address)):
        return ""
    return f"{spec.name} cannot listen at {format_address(*spec.address)}: {reason}"


def why_not(host: str, port: int) -> str:
    """Why nothing can listen there; empty when it can. A name is asked for at each of its addresses: who holds the port at one
    of them would be taken for the process that listens at another."""
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return f"{host!r} is no address of this machine ({error.strerror})"
    reasons = {_why_not(family, address): None for family, _, _, _, address in rows}
    taken = [reason for reason in reasons if reason.startswith(_TAKEN)]
    return taken[0] if taken else "" if "" in reasons else next(iter(reasons))


def _why_not(family: int, address: tuple[Any, ...]) -> str:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if os.name == "posix" and sys.platform != "cygwin":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            # Linux lets two sockets bind with SO_REUSEADDR as long as neither listens.
            probe.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"{_TAKEN} {holder(int(address[1]))}"
        if error.errno == errno.EADDRNOTAVAIL:
            return "this machine has no such address"
        return error.strerror or str(error)
    return ""


def holder(port: int) -> str:
    """`pid 123 (python -m http.server)`; says so when the system does not tell."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        connections = []
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr[1] == port:
            if connection.pid is None:
                break
            try:
                words = psutil.Process(connection.pid).cmdline()
            except psutil.Error:
                words = []
            command = visible(" ".join(words))
            shown = f"{command[:LONGEST_COMMAND]}…" if len(command) > LONGEST_COMMAND else command
            return f"pid {connection.pid} ({shown})" if shown else f"pid {connection.pid}"
    return "a process that this user may not look at"
