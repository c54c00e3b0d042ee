"""What people do, as it is written down: in the event log of the launcher in English, and read from there in every language."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from dashboard.i18n import Text, recognised
from dashboard.model.requests import CallRequest, RegisterRequest
from luabus import admin

MOST_ARGUMENTS: Final = 160
"""Characters of a request's arguments that the event log keeps."""

_EVERYWHERE: Final = " at every router"
_SOMEWHERE: Final = " at {where}"
NOTES: Final = (
    "remove {name} at every router",
    "vacate {name} at every router",
    "make {name} master with token {token}, the connection of {who}, at every router",
    "make {name} master with token {token} at every router",
    "make {name} master at every router",
    "register {name} with token {token}, the connection of {who}, at every router",
    "register {name} with token {token} at every router",
    "register {name} at every router",
    "remove {name} at {where}",
    "vacate {name} at {where}",
    "make {name} master with token {token}, the connection of {who}, at {where}",
    "make {name} master with token {token} at {where}",
    "make {name} master at {where}",
    "register {name} with token {token}, the connection of {who}, at {where}",
    "register {name} with token {token} at {where}",
    "register {name} at {where}",
    "promote {name} to master",
    "close the connection of {name} at {router}",
)
"""What is noted with the launcher. The more exact stand first, for a text is read as the first that it can be."""


def registered(
    asked: RegisterRequest, name: str, whose: str = "", results: Mapping[str, str] | None = None
) -> Text:
    """A change of the table by hand; of a token, whose connection it is; and with `results`, where it was done."""
    values: dict[str, object] = {"name": name}
    if asked.token is None:
        template = "remove {name}"
    elif asked.token == 0:
        template = "vacate {name}"
    else:
        template = "make {name} master" if asked.is_master else "register {name}"
        if asked.token != "own":
            template += " with token {token}"
            values["token"] = asked.token
            if whose:
                template += ", the connection of {who},"
                values["who"] = whose
    if results is None:
        return Text(template, **values)
    if asked.router == "*" and set(results.values()) == {admin.DONE}:
        return Text(template + _EVERYWHERE, **values)
    done = (name if said == admin.DONE else f"{name} ({said})" for name, said in results.items())
    return Text(template + _SOMEWHERE, **values, where=", ".join(done))


def called(asked: CallRequest) -> Text:
    """A request in one line: arguments shortened, for they may be long."""
    args = ", ".join(json.dumps(one, ensure_ascii=False) for one in asked.args)
    shown = args if len(args) <= MOST_ARGUMENTS else args[: MOST_ARGUMENTS - 1] + "…"
    call = f"{asked.method}({shown})"
    if asked.one_way:
        return Text("send {call} to {route}", call=call, route=asked.route)
    return Text("request {call} to {route}", call=call, route=asked.route)


def noted(text: str) -> Text:
    """What the launcher was told, from its event log; the words of others stay as they are."""
    return recognised(text, NOTES)
