"""What people do, as it is written down: in the event log of the launcher in English, and read from there in every language."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from dashboard.model.requests import CallRequest
from luabus import admin
from luabus.cluster.entries import Registration
from luabus.messages import Message

MOST_ARGUMENTS: Final = 160
"""Characters of a request's arguments that the event log keeps."""

_REGISTER: Final = ("audit.register", "audit.register-with-token", "audit.register-of-connection")
_MASTER: Final = ("audit.master", "audit.master-with-token", "audit.master-of-connection")
"""Of a service's own connection, of a token, of a token whose connection is known."""


def registered(
    asked: Registration, name: str, whose: str = "", results: Mapping[str, str] | None = None
) -> Message:
    """A change of the table by hand; of a token, whose connection it is; and with `results`, where it was done."""
    values: dict[str, object] = {"name": name}
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
        return Message("audit.at", what=what, where=Message("word.every-router"))
    done = (name if answer == admin.DONE else f"{name} ({answer})" for name, answer in results.items())
    return Message("audit.at", what=what, where=", ".join(done))


def called(asked: CallRequest) -> Message:
    """A request in one line: arguments shortened, for they may be long."""
    args = ", ".join(json.dumps(one, ensure_ascii=False) for one in asked.args)
    shown = args if len(args) <= MOST_ARGUMENTS else args[: MOST_ARGUMENTS - 1] + "…"
    call = f"{asked.method}({shown})"
    if asked.one_way:
        return Message("audit.send-to", call=call, route=asked.route)
    return Message("audit.request-to", call=call, route=asked.route)
