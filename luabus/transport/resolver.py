"""The addresses of a host, and in which order to try them. A slow resolver holds up nobody but those who wait for that name.

Each name that is being looked up has a thread of its own, whoever and however many ask for it: the event loop's executor stays
free for others, a second look-up of a name that hangs is not begun, and the end of the process waits for none.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from luabus.host_addresses import format_address

if TYPE_CHECKING:
    from concurrent.futures import Future

STAGGER_S: Final = 0.25
"""The next address is tried when the one before has not answered for so long (RFC 8305, "Connection Attempt Delay")."""


class Endpoint(NamedTuple):
    """Where a socket of `family` connects to; `address` as the socket takes it."""

    family: int
    address: tuple[Any, ...]

    @property
    def host(self) -> str:
        """The address in figures, an IPv6 one with its zone."""
        zone = self.address[3] if self.family == socket.AF_INET6 else 0
        return f"{self.address[0]}%{zone}" if zone else str(self.address[0])

    @property
    def port(self) -> int:
        return int(self.address[1])

    def __str__(self) -> str:
        return format_address(self.host, self.port)


_running: dict[tuple[str, int], Future[list[Endpoint]]] = {}
"""The look-ups under way."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_running.clear)  # a child does not have the threads


def numeric(host: str, port: int) -> Endpoint | None:
    """The endpoint of an address in figures, which needs no look-up; None for a name."""
    bare, _, zone = host.partition("%")
    try:
        if ":" not in host:
            socket.inet_pton(socket.AF_INET, host)
            return Endpoint(socket.AF_INET, (host, port))
        socket.inet_pton(socket.AF_INET6, bare)
        scope = 0 if not zone else int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
        return Endpoint(socket.AF_INET6, (bare, port, 0, scope))
    except OSError:
        return None


def look_up(host: str, port: int) -> Future[list[Endpoint]]:
    """The endpoints of a name, in the resolver's order, or its error (`OSError`, `UnicodeError`)."""
    future = _running.get((host, port))
    if future is None:
        from concurrent.futures import Future
        from threading import Thread

        future = _running[host, port] = Future()
        future.set_running_or_notify_cancel()  # who gives up does not end it for the others
        Thread(target=_look_up, args=(host, port, future), name=f"look up {host}", daemon=True).start()
    return future


def _look_up(host: str, port: int, future: Future[list[Endpoint]]) -> None:
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        endpoints = [
            Endpoint(family, _without_zone(address))
            for family, _, _, _, address in rows
            if family in (socket.AF_INET, socket.AF_INET6)
        ]
    except BaseException as error:
        _running.pop((host, port), None)
        future.set_exception(error)
    else:
        _running.pop((host, port), None)
        future.set_result(list(dict.fromkeys(endpoints)))


def _without_zone(address: tuple[Any, ...]) -> tuple[Any, ...]:
    """The zone is in its text as well as a number."""
    return (address[0].partition("%")[0], *address[1:])


def in_turn(endpoints: Iterable[Endpoint], last: Container[tuple[str, int]] = ()) -> list[Endpoint]:
    """IPv6 and IPv4 by turns, as the resolver prefers them; behind them those in `last` (address, port)."""
    families: dict[int, list[Endpoint]] = {}
    for endpoint in endpoints:
        families.setdefault(endpoint.family, []).append(endpoint)
    turns: list[Endpoint] = []
    while any(families.values()):
        turns += [of_family.pop(0) for of_family in families.values() if of_family]
    return sorted(turns, key=lambda endpoint: endpoint.address[:2] in last)


def stagger_s(endpoints: int, timeout_s: float | None) -> float:
    """How long one is tried alone, so that each gets its turn within `timeout_s`."""
    return STAGGER_S if timeout_s is None else min(STAGGER_S, max(0.0, timeout_s) / (endpoints + 1))


def why_none(failures: list[tuple[Endpoint, OSError]]) -> OSError:
    """The error that tells why no endpoint was reached."""
    errors = [error for _, error in failures]
    if not errors:
        return OSError("the name has no address")
    if len({error.errno for error in errors}) == 1:
        return errors[0]
    return OSError("; ".join(f"{endpoint}: {error.strerror or error}" for endpoint, error in failures))
