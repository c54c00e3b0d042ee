"""The five ways to address a message, by number or by name."""

from __future__ import annotations

from luabus.client.routes import Route, Sender
from luabus.errors import NoRoute, Refused
from luabus.exception_text import plain, repr_of, text_of
from luabus.ids import ServiceId, parse_group
from luabus.protocol.frames import Kind
from luabus.protocol.hashing import hash_key, key_of

_HOW_TO_WRITE = ". Write target:mail.2, hash:mail:alice, random:mail, broadcast:gateway or master:director"


class Addresses(Sender):
    """Makes routes. `groups` maps names to numbers."""

    groups: dict[str, int]

    @property
    def names(self) -> dict[int, str]:
        """Group numbers to names."""
        return {number: name for name, number in self.groups.items()}

    def target(self, service_id: int | str) -> Route:
        """One instance: `"mail.2"`, `"2.2"` or a `ServiceId`. Raises `NoRoute` for a name that nobody has."""
        try:
            target = ServiceId.parse(service_id, self.groups)
        except Refused as error:
            raise NoRoute(str(error), route=f"target:{text_of(service_id)}") from None
        return Route(self, Kind.TARGET, ("target", service_id), destination=target)

    def hash(self, group: str | int, key: int | str | bytes) -> Route:
        """The owner of the key: of the live instances the one with the highest score in the key's bucket (docs/keys.md)."""
        return Route(self, Kind.HASH, ("hash", group, key), self._group(group, "hash"), key=hash_key(key))

    def random(self, group: str | int) -> Route:
        """Any live instance, each with the same chance."""
        return Route(self, Kind.RANDOM, ("random", group), self._group(group, "random"))

    def broadcast(self, group: str | int) -> Route:
        """Every live instance of the group, this process left out."""
        return Route(self, Kind.BROADCAST, ("broadcast", group), self._group(group, "broadcast"))

    def master(self, group: str | int) -> Route:
        """The group's master."""
        return Route(self, Kind.MASTER, ("master", group), self._group(group, "master"))

    def route(self, text: str) -> Route:
        """A route in words: `target:mail.2`, `hash:mail:alice`, `random:mail`, `broadcast:gateway`, `master:director`.

        A hash key that is a whole number is taken as one, unless it is in quotes: `hash:mail:"5"`. Raises `Refused` for words
        that are no route.
        """
        if type(text) is not str:
            text = plain(text)  # type: ignore[assignment]
            if type(text) is not str:
                raise Refused(f"{repr_of(text):.80} is not a route{_HOW_TO_WRITE}")
        kind, _, rest = text.partition(":")
        if kind == "hash" and rest:
            group, colon, key = rest.partition(":")
            if not colon or not key:
                raise Refused(
                    f"{text!r}: a hash needs a key: hash:GROUP:KEY, such as hash:mail:alice;"
                    ' hash:mail:5 is the number, hash:mail:"5" the text'
                )
            number = self._group(group, "hash")
            return Route(self, Kind.HASH, (text,), number, key=hash_key(key_of(key)))
        makers = {
            "target": self.target,
            "random": self.random,
            "broadcast": self.broadcast,
            "master": self.master,
        }
        if kind in makers and rest:
            return makers[kind](rest)
        from difflib import get_close_matches  # slow to import, and only for errors

        close = get_close_matches(kind, [*makers, "hash"], n=1)
        if close and kind not in makers:
            how = f"; did you mean {close[0]}:...?{_HOW_TO_WRITE.removeprefix('.')}"
        else:
            how = _HOW_TO_WRITE
        raise Refused(f"{text!r} is not a route{how}")

    def _group(self, group: str | int, kind: str) -> int:
        try:
            return parse_group(group, self.groups)
        except Refused as error:
            raise NoRoute(str(error), route=f"{kind}:{text_of(group)}") from None
