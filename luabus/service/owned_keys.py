"""Which keys an instance owns, by the members of its group that the preferred router last told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from luabus import tasks
from luabus.errors import Refused
from luabus.messages import Message
from luabus.protocol.hashing import hash_key
from luabus.routing.buckets import BUCKETS, Buckets, bucket_of
from luabus.service.hooks import Hooks

Key = int | str | bytes
OwnsKey = Callable[[Key], bool]
"""Whether a key is one of those that are meant."""
F = TypeVar("F", bound=Callable[..., Any])
_NONE: Final = bytes(BUCKETS)


class KeyOwner:
    """What a service can ask about keys, and be told."""

    _keys: OwnedKeys
    _hooks: Hooks

    def owns(self, key: Key) -> bool:
        """Whether this instance owns the key now, by the members that the preferred router last told; False before it has joined.
        Raises `BadArguments` for what is no int, str or bytes, and `Refused` where routers do not tell: in a group of more than
        1,000 members, or one that is not reached by key while there is no `on_keys_moved`."""
        return self._keys.owns(key)

    def on_keys_moved(self, fn: F) -> F:
        """Run `fn(gained, lost)` when this instance owns other keys than before, its first join and its leaving
        included: two functions that say
        of a key whether it is one of those. `owns` is already new; changes that come meanwhile are told together afterwards."""
        self._hooks.add("keys_moved", fn)
        return fn


class OwnedKeys:
    """`preferred()`: the name of the router that this process sends through, "" without one. `moved(gained, lost)` is awaited
    after each change of what is owned, and raises nothing; changes that come meanwhile are told together afterwards."""

    def __init__(
        self, preferred: Callable[[], str], moved: Callable[[OwnsKey, OwnsKey], Awaitable[None]]
    ) -> None:
        self._preferred = preferred
        self._moved = moved
        self._me = 0
        self._untold: Message | None = None
        self._members: dict[str, frozenset[int] | None] = {}
        self._known: frozenset[int] = frozenset()
        self._buckets = Buckets()
        self._owned = self._told = _NONE
        self._telling: asyncio.Task[None] | None = None

    def begin(self, service_id: int, untold: Message | None = None) -> None:
        """From now on it is this instance. `untold`: why routers do not tell it who is live in its group, if they do not."""
        self._me = int(service_id)
        self._untold = untold

    async def leave(self) -> None:
        """It has left all routers: from now on nothing is owned. Returns when that has been told; to a hook that asks for it, at
        once."""
        self._me = 0
        self._owned = _NONE
        if self._owned != self._told and self._telling is None:
            self._telling = tasks.start(self._tell(), name="luabus keys moved")
        if self._telling is not None:
            await tasks.ended([self._telling], None)

    def end(self) -> None:
        """It is none any more: nothing is owned, and nobody is told of that."""
        self._me = 0
        self._members.clear()
        self._owned = self._told = _NONE
        if self._telling is not None and not tasks.is_inside(self._telling):
            self._telling.cancel()
        self._telling = None

    def owns(self, key: Key) -> bool:
        """Whether this instance owns the key. Raises `BadArguments` for what is no key, `Refused` where it is not told."""
        bucket = bucket_of(hash_key(key))
        if self._me and self._untold is not None:
            raise Refused.coded(self._untold)
        return bool(self._owned[bucket])

    def tell(self, router: str, group: int, instances: list[int] | None) -> None:
        """A router tells who is live in our group; None: too many to be told."""
        if self._me and group == self._me >> 16:
            told = instances is not None
            self._members[router] = frozenset(group << 16 | one for one in instances or ()) if told else None
            self.look()

    def look(self) -> None:
        """Reckon anew: another router may be the preferred one. One that has not told yet changes nothing."""
        router = self._preferred()
        if not self._me or router not in self._members:
            return
        members = self._members[router]
        if members is None:
            self._untold = Message("refusal.keys-of-too-many")
            return
        self._untold = None
        for member in members - self._known:
            self._buckets.enter(member)
        for member in self._known - members:
            self._buckets.leave(member)
        self._known = members
        me = self._me
        self._owned = bytes(owner == me for owner in self._buckets.owners(sorted(members)))
        if self._owned != self._told and self._telling is None:
            self._telling = tasks.start(self._tell(), name="luabus keys moved")

    def look_soon(self) -> None:
        """Look when it is known which router is preferred from now on: one has come or gone."""
        asyncio.get_running_loop().call_soon(self.look)

    async def _tell(self) -> None:
        try:
            while self._owned != self._told:
                before, after = self._told, self._owned
                self._told = after
                gained = bytes(new and not old for old, new in zip(before, after, strict=True))
                lost = bytes(old and not new for old, new in zip(before, after, strict=True))
                await self._moved(_within(gained), _within(lost))
        finally:
            if self._telling is asyncio.current_task():
                self._telling = None


def _within(buckets: bytes) -> OwnsKey:
    return lambda key: bool(buckets[bucket_of(hash_key(key))])
