"""Who is at the other end of a connection, as its hand-shake proved it. Pure."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Role = Literal["admin", "service", "client", "router", "launcher"]


class Principal(NamedTuple):
    """A role, and for a service, a router or a launcher its name: `service:mail`, `client`.

    An admin holds the cluster's secret: it may steer by hand and join as anyone; in calls it is a client.
    """

    role: Role
    name: str = ""

    def __str__(self) -> str:
        return f"{self.role}:{self.name}" if self.name else self.role


ADMIN: Final = Principal("admin")
"""Whoever holds the cluster's secret, and everybody where none is asked for."""
CLIENT: Final = Principal("client")
"""A connection that may call, and nothing more."""
