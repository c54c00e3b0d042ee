"""The words that a router says to a client or a service, and what each may hold. See `luabus.rpc.shapes`.

A router may be broken, or another program. What it tells that makes no sense ends the link to it, with a `ProtocolError` that
names the place; what it asks is answered with `BadArguments`. Nothing of it is believed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from luabus.errors import BadArguments, ProtocolError
from luabus.ids import CLIENT_BASE, MAX_GROUP, MAX_INSTANCE
from luabus.limits import MAX_EPOCH, MAX_FRAME_LIMIT
from luabus.routing.views import GROUP_ROWS
from luabus.rpc.context import current
from luabus.rpc.shapes import (
    FLAG,
    GROUP,
    MAX_U32,
    MAX_U64,
    MEMBER,
    NAME,
    NAME_LENGTH,
    Either,
    ListOf,
    MapOf,
    OneOf,
    Optional,
    Part,
    Record,
    Shape,
    Text,
    Whole,
    checked,
)

_ROUTER: Final = Text(NAME_LENGTH, least=1)
_EPOCH: Final = Whole(0, MAX_EPOCH)
_MEMBER_NAME: Final = Text(NAME_LENGTH + 6, least=1)
_NAMES: Final = Record(
    {"group": GROUP, "name": NAME, "mode": NAME, "master": Either((OneOf((0,)), MEMBER)), "epoch": _EPOCH}
)
_WELCOME: Final = Record(
    {
        "router": _ROUTER,
        "incarnation": Whole(0, MAX_U64),
        "frame_limit": Whole(1, MAX_FRAME_LIMIT),
        "groups": ListOf(_NAMES, MAX_GROUP),
    }
)
_SLOT: Final = Record(
    {"service_id": _MEMBER_NAME, "name": _MEMBER_NAME, "token": Whole(0, MAX_U32)}, {"share": Part()}
)
_GROUP: Final = Record(
    {
        "group": GROUP, "name": NAME, "mode": NAME, "master": Optional(_MEMBER_NAME), "elected": FLAG, "epoch": _EPOCH,
        "slots": ListOf(_SLOT, GROUP_ROWS), "after": Whole(0, MAX_U32), "next": Optional(Whole(1, MAX_U32)),
    }
)  # fmt: skip
_CLIENTS: Final = MAX_U32 - CLIENT_BASE
_ACCESS: Final = Record(
    {
        "methods": MapOf(Text(10_000), ListOf(NAME, MAX_GROUP + 2), 10_000),
        "groups": MapOf(GROUP, NAME, MAX_GROUP),
        "clients": MapOf(Whole(CLIENT_BASE, MAX_U32), NAME, _CLIENTS),
    }
)

_TOLD: Final[dict[str, tuple[Shape, ...]]] = {
    "welcome": (_WELCOME,),
    "names": (_NAMES,),
    "group": (_ROUTER, _GROUP),
    "members": (_ROUTER, GROUP, Optional(ListOf(Whole(1, MAX_INSTANCE), MAX_INSTANCE))),
    "draining": (_ROUTER,),
    "access": (_ACCESS,),
    "caller": (Whole(CLIENT_BASE, MAX_U32), NAME),
}
_ASKED: Final[dict[str, tuple[Shape, ...]]] = {
    "hand_over": (MEMBER, NAME),
    "methods": (),
    "lease": (),
    "ping": (),
}


def heard(word: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    """`handler` for what a router says, if it makes sense. Raises `KeyError` for a word that is not declared."""
    name = word.removeprefix("luabus.")
    if name in _ASKED:
        return checked(handler, _ASKED[name], word)
    shapes = _TOLD[name]
    check_first = checked(handler, shapes, word)

    def hear(*args: Any) -> Any:
        try:
            if len(args) != len(shapes):
                raise BadArguments(f"{len(args)} arguments, not {len(shapes)}", method=word)
            return check_first(*args)
        except BadArguments as error:
            call = current.get()
            if call is not None:
                call.stream.end(
                    ProtocolError(f"the router says {word} that makes no sense: {error}"), say=True
                )

    return hear
