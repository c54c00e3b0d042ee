"""Service ids: 32 bits, the high 16 the group, the low 16 the instance; written `2.1`, named `mail.1`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from luabus.errors import Refused
from luabus.exception_text import plain, repr_of
from luabus.messages import Message

MAX_GROUP: Final = 255
MAX_INSTANCE: Final = 65_535
ROUTER_GROUP: Final = 0
CLIENT_BASE: Final = 0xFF00_0000
"""Ids from here up belong to connections that have not registered: `CLIENT_BASE | token`."""


class ServiceId(int):
    """A service id. An int (so it sorts, hashes and packs as one) that prints as `2.1`.

    `ServiceId(0x0002_0001)`, `ServiceId.of(2, 1)`, `ServiceId.parse("2.1")` and, with the groups' numbers,
    `ServiceId.parse("mail.1", {"mail": 2})` are the same.
    """

    __slots__ = ()

    @classmethod
    def of(cls, group: int, instance: int) -> ServiceId:
        """Raises `Refused` when group is not in 0..255 or instance not in 1..65535."""
        if not 0 <= group <= MAX_GROUP:
            raise Refused.coded(Message("refusal.group-out-of-range", group=group, most=MAX_GROUP))
        if not 1 <= instance <= MAX_INSTANCE:
            raise Refused.coded(
                Message("refusal.instance-out-of-range", instance=instance, most=MAX_INSTANCE)
            )
        return cls(group << 16 | instance)

    @classmethod
    def parse(cls, text: str | int, groups: Mapping[str, int] | None = None) -> ServiceId:
        """`2.1`, `mail.1` (needs `groups`), or the number itself. Raises `Refused`, with a suggestion."""
        if type(text) is not int and type(text) is not str:
            text = plain(text)  # type: ignore[assignment]
        if type(text) is int:
            is_client = CLIENT_BASE <= text <= 0xFFFF_FFFF
            return cls(text) if is_client else cls.of(text >> 16, text & 0xFFFF)
        if type(text) is not str:
            raise Refused.coded(Message("refusal.no-service-id", text=f"{repr_of(text):.80}"))
        name, dot, instance = text.rpartition(".")
        if not dot or not _is_number(instance):
            raise Refused.coded(Message("refusal.no-service-id", text=repr(text)))
        return cls.of(parse_group(name, groups), int(instance))

    @classmethod
    def parse_service(cls, text: str | int, groups: Mapping[str, int] | None = None) -> ServiceId:
        """As `parse`, but an id that can be registered. Raises `Refused` for a client's: the routers give those."""
        one = cls.parse(text, groups)
        if one.is_client:
            raise Refused.coded(Message("refusal.id-of-a-connection", name=str(one), most=MAX_GROUP))
        return one

    @property
    def group(self) -> int:
        return self >> 16

    @property
    def instance(self) -> int:
        return self & 0xFFFF

    @property
    def is_client(self) -> bool:
        """True for a connection without a registration, whose id the router made up."""
        return self >= CLIENT_BASE

    def __str__(self) -> str:
        return f"client.{self & 0xFFFFFF}" if self >= CLIENT_BASE else f"{self >> 16}.{self & 0xFFFF}"

    def __repr__(self) -> str:
        return f"ServiceId({self!s})"

    def named(self, names: Mapping[int, str]) -> str:
        """`mail.1` where `names` knows the group, else `2.1`."""
        name = names.get(self >> 16)
        return f"{name}.{self & 0xFFFF}" if name and self < CLIENT_BASE else str(self)


def did_you_mean(name: str) -> Message:
    """The hint that goes with a name that nobody has."""
    return Message("hint.did-you-mean", name=repr(name))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10


def parse_group(group: str | int, groups: Mapping[str, int] | None = None) -> int:
    """The number of a group given as number, digits or name. Raises `Refused`, with a suggestion."""
    if type(group) is not int and type(group) is not str:
        group = plain(group)  # type: ignore[assignment]
    if type(group) is not int:
        if type(group) is not str:
            raise _no_such_group(f"{repr_of(group):.80}", groups, "")
        if _is_number(group):
            group = int(group)
        elif groups and group in groups:
            group = groups[group]
        else:
            raise _no_such_group(repr(group), groups, group)
    if not 0 <= group <= MAX_GROUP:
        raise Refused.coded(Message("refusal.group-out-of-range", group=group, most=MAX_GROUP))
    return group


def _no_such_group(shown: str, groups: Mapping[str, int] | None, name: str) -> Refused:
    known = sorted(groups or ())
    from difflib import get_close_matches  # slow to import, and only for errors

    close = get_close_matches(name, known, n=1)
    hint = did_you_mean(close[0]) if close else Message("hint.known", names=", ".join(known) or "none")
    return Refused.coded(Message("refusal.no-such-group", name=shown, hint=hint))
