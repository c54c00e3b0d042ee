"""What a router tells: groups and masters to everybody, whole tables to those who watch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from luabus.errors import Overloaded
from luabus.ids import MAX_INSTANCE
from luabus.protocol.codec import pack_call
from luabus.router.watchers import Watcher
from luabus.routing.views import GROUP_ROW_BYTES, GROUP_ROWS, page_rows, public_group
from luabus.transport.manager import SocketMgr
from luabus.transport.stream import CALL_ROUTE, Stream

MOST_FOLLOWED: Final = 1000
"""Members of a group up to which they are told of each other."""
_MEMBERS_HEAD: Final = 256
"""Bytes of `luabus.members` beside its instances; these have three each at most."""


class Announcer:
    """Tells each change of the table once per turn of the loop. `open_streams()`: those who are told."""

    def __init__(
        self, router: str, mgr: SocketMgr, open_streams: Callable[[], Iterable[Stream]], frame_limit: int
    ) -> None:
        self._router = router
        self._mgr = mgr
        self._open_streams = open_streams
        self._watchers: dict[Stream, Watcher] = {}
        self._announced: dict[int, dict[str, Any]] = {}
        self._changes_seen: dict[int, int] = {}
        self._rows = page_rows(GROUP_ROWS, GROUP_ROWS, frame_limit, GROUP_ROW_BYTES)
        self._announcing = False
        self._most_followed = page_rows(MOST_FOLLOWED, MOST_FOLLOWED, frame_limit - _MEMBERS_HEAD, 3)
        self._followers: dict[int, dict[Stream, None]] = {}
        self._follows: dict[Stream, int] = {}
        self._followed: dict[int, list[int] | None] = {}

    def changed(self) -> None:
        """The table changed: tell everybody, once per loop iteration. Before there is anybody a router may have no loop yet."""
        if not self._announcing and self._mgr.streams:
            self._announcing = True
            self._mgr.loop.call_soon(self._announce)

    async def watch(self, stream: Stream) -> None:
        """From now on tell `stream` each group that changes, and before this ends all there are.

        They come by one way, in order: a list in the answer could be read after a change that was told later.
        """
        self._announce()
        groups = self._mgr.switch.table.groups
        watcher = self._watchers.get(stream)
        if watcher is None:
            watcher = self._watchers[stream] = Watcher(stream, self._router, groups, self._rows)
        watcher.changed(sorted(groups), self._mgr.spawn)
        await watcher.told()

    def follow(self, stream: Stream, number: int) -> None:
        """From now on tell `stream`, a member of this group, who is live in it: at once, and with each change."""
        self._unfollow(stream)
        self._follows[stream] = number
        self._followers.setdefault(number, {})[stream] = None
        self._send(stream, self._members(number, self._followable(number)))

    def forget(self, stream: Stream) -> None:
        """A stream is closed."""
        self._watchers.pop(stream, None)
        self._unfollow(stream)

    def _unfollow(self, stream: Stream) -> None:
        number = self._follows.pop(stream, None)
        if number is not None:
            del self._followers[number][stream]
            if not self._followers[number]:
                del self._followers[number]
                self._followed.pop(number, None)

    def _followable(self, number: int) -> list[int] | None:
        """The members; None where they are so many that they are not told: each change is told to all."""
        live = self._mgr.switch.table.group(number).live
        return live if len(live) <= self._most_followed else None

    def _members(self, number: int, live: list[int] | None) -> bytes:
        told = None if live is None else [known & MAX_INSTANCE for known in live]
        return pack_call("luabus.members", (self._router, number, told))

    def tell(self, stream: Stream, method: str, *args: Any) -> None:
        """Make one call to the other end of `stream`."""
        self._send(stream, pack_call(method, args))

    def _announce(self) -> None:
        self._announcing = False
        for_all: list[bytes] = []
        changed: list[int] = []
        for number, group in self._mgr.switch.table.groups.items():
            if self._changes_seen.get(number) == group.changes:
                continue
            self._changes_seen[number] = group.changes
            public = public_group(group)
            if self._announced.get(number) != public:
                self._announced[number] = public
                for_all.append(pack_call("luabus.names", (public,)))
            changed.append(number)
        for stream in self._open_streams():
            for body in for_all:
                self._send(stream, body)
        for number in changed:
            self._tell_followers(number)
        if changed:
            for watcher in list(self._watchers.values()):
                watcher.changed(changed, self._mgr.spawn)

    def _tell_followers(self, number: int) -> None:
        followers = self._followers.get(number)
        live = self._followable(number)
        if followers and self._followed.get(number, ()) != live:
            self._followed[number] = None if live is None else list(live)
            body = self._members(number, live)
            for stream in followers:
                self._send(stream, body)

    @staticmethod
    def _send(stream: Stream, body: bytes) -> None:
        """Announcements pass also when forwarded messages fill the buffer; one that owes us so much reading is cut off."""
        if stream.reserved > stream.kept_limit:
            text = f"{stream.reserved} bytes of answers and announcements wait for it"
            stream.dismiss(
                Overloaded(text, what="bytes owed", limit=stream.kept_limit, current=stream.reserved)
            )
        else:
            stream.send_reserved(CALL_ROUTE, body=body)
