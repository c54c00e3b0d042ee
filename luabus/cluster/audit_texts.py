"""How it is written down what people do at the routers: the same from the command line, the API and the pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from luabus import admin
from luabus.cluster.entries import Held, Registration
from luabus.cluster.state import ConnectionState
from luabus.messages import Message

_REGISTER: Final = ("audit.register", "audit.register-with-token", "audit.register-of-connection")
_MASTER: Final = ("audit.master", "audit.master-with-token", "audit.master-of-connection")
"""Of a service's own connection, of a token, of a token whose connection is known."""


def registered(
    asked: Registration, name: str, whose: str = "", results: Mapping[str, str] | None = None
) -> Message:
    """A change of the table by hand; of a token, whose connection it is; and with `results` (by router), where it was done."""
    values: dict[str, Any] = {"name": name}
    if asked.token is None:
        code = "audit.remove"
    elif asked.token == 0:
        code = "audit.vacate"
    else:
        own, by_token, by_connection = _MASTER if asked.is_master else _REGISTER
        code = own if asked.token == "own" else by_connection if whose else by_token
        if asked.token != "own":
            values |= {"token": asked.token, "who": whose} if whose else {"token": asked.token}
    what = Message(code, **values)
    if results is None:
        return what
    if asked.router == "*" and set(results.values()) == {admin.DONE}:
        return Message("audit.at", what=what, where=Message("audit.every-router"))
    done = [where if answer == admin.DONE else f"{where} ({answer})" for where, answer in results.items()]
    return Message("audit.at", what=what, where=done)


def whose(connections: Iterable[ConnectionState], token: Held, router: str) -> str:
    """Who is at the other end of a token at this router (`*`: the first that has it); "" where that says nothing more."""
    if not isinstance(token, int) or token == 0:
        return ""
    rows = (row for row in connections if row.token == token and router in ("*", row.router))
    return next((row.name or row.peer for row in rows), "")


def promoted(name: str, epoch: int) -> Message:
    """A hand-over of the lease that was asked for."""
    return Message("audit.promoted", name=name, epoch=epoch)


def closed(name: str, router: str) -> Message:
    """The end of a connection."""
    return Message("audit.close-the-connection", name=name, router=router)


def secret_changed() -> Message:
    """A change of the cluster's secret."""
    return Message("audit.secret")
