"""The words that a router understands, and what each may be given. See `luabus.rpc.shapes`.

Whatever a peer says goes into what everybody is told, or picks what is done: so each word of `luabus.*` stands here, and one that
does not cannot be made a router's method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from luabus.ids import CLIENT_BASE, MAX_GROUP
from luabus.limits import MAX_EPOCH
from luabus.protocol.frames import FLAG_REQUEST, KNOWN_FLAGS, Kind
from luabus.rpc.shapes import (
    ANYTHING,
    FLAG,
    GROUP,
    MAX_U32,
    MAX_U64,
    NAME,
    NAME_LENGTH,
    SERVICE_ID,
    Either,
    MapOf,
    OneOf,
    Optional,
    Record,
    Shape,
    Text,
    Whole,
    checked,
    misfit,
)

_ROUTED: Final = frozenset((Kind.TARGET, Kind.HASH, Kind.RANDOM, Kind.BROADCAST, Kind.MASTER))
_TOKEN: Final = Whole(1, MAX_U32 - CLIENT_BASE)
_CALLED: Final = Text(NAME_LENGTH, least=1)
EPOCH: Final = Whole(1, MAX_EPOCH)
_AFTER: Final = Whole(0, MAX_U32)
_LIMIT: Final = Whole(1, MAX_U32)
_WORDS: Final = Text(4000, free=True)
"""A reason, perhaps another program's: it is cleaned and cut before anybody sees it."""
_PLACES: Final = 64
_DEPTH: Final = 4


class _RouteOf:
    """Bytes 4..11 of the header of a message that can be routed."""

    allowed = "the route of a message to services"

    def check(self, value: Any, path: str) -> None:
        fits = type(value) is int and 0 <= value <= MAX_U64
        if not fits or value & 0xFF not in _ROUTED or value >> 8 & 0xFF & ~(KNOWN_FLAGS & ~FLAG_REQUEST):
            raise misfit(path, value, self.allowed)
        if value >> 16 & 0xFFFF > MAX_GROUP:
            raise misfit(path, value, self.allowed)


class _ValueOf:
    """A value of a message: what JSON has, no more of it than somebody reads."""

    allowed = "what a message has for a value: text, numbers, messages"

    def check(self, value: Any, path: str) -> None:
        self._check(value, path, 0)

    def _check(self, value: Any, path: str, depth: int) -> None:
        kind = type(value)
        if kind is str:
            _WORDS.check(value, path)
        elif kind is list or kind is dict:
            if len(value) > _PLACES or depth >= _DEPTH:
                raise misfit(path, value, self.allowed)
            for key, item in value.items() if kind is dict else enumerate(value):
                if kind is dict:
                    NAME.check(key, path)
                self._check(item, path, depth + 1)
        elif value is not None and kind not in (bool, int, float):
            raise misfit(path, value, self.allowed)


_MESSAGE: Final = Record({"code": Text(NAME_LENGTH, least=1), "values": MapOf(NAME, _ValueOf(), _PLACES)})

WORDS: Final[dict[str, tuple[Shape, ...]]] = {
    "join": (
        SERVICE_ID, NAME, Whole(0, MAX_U64), OneOf(("", "hash", "random", "broadcast", "master")),
        Optional(MapOf(GROUP, Whole(0, MAX_EPOCH), MAX_GROUP)), Whole(0, MAX_U64), FLAG,
    ),
    "leave": (),
    "debugged": (),
    "stand": (),
    "master": (EPOCH,),
    "resign": (EPOCH,),
    "report": (Either((_WORDS, Optional(_MESSAGE))),),
    "prefer": (FLAG,),
    "flush": (),
    "room": (_RouteOf(), Whole(0, MAX_U32)),
    "watch": (),
    "register": (SERVICE_ID, Either((OneOf((None, "own")), Whole(0, MAX_U32 - CLIENT_BASE))), FLAG),
    "close": (_TOKEN,),
    "routes": (_AFTER, _LIMIT),
    "connections": (_AFTER, _LIMIT),
    "stats": (),
    "forbade": (_CALLED, _CALLED, Whole(1, MAX_U32)),
    "configure": (ANYTHING,),
    "promote": (SERVICE_ID, NAME),
    "ask": (SERVICE_ID, ANYTHING, ANYTHING),
}  # fmt: skip


def word(function: Callable[..., Any]) -> Callable[..., Any]:
    """The method of a router for the word of that name. Raises `KeyError` for one that is not declared."""
    name = function.__name__
    return checked(function, WORDS[name], f"luabus.{name}")
