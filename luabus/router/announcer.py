"""What a router tells: groups and masters to everybody, whole tables to those who watch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from luabus.errors import Overloaded
from luabus.protocol.codec import pack_call
from luabus.routing.views import full_group, public_group
from luabus.transport.manager import SocketMgr
from luabus.transport.stream import CALL_ROUTE, Stream


class Announcer:
    """Tells each change of the table once per turn of the loop. `open_streams()`: those who are told."""

    def __init__(self, router: str, mgr: SocketMgr, open_streams: Callable[[], Iterable[Stream]]) -> None:
        self._router = router
        self._mgr = mgr
        self._open_streams = open_streams
        self._watchers: set[Stream] = set()
        self._announced: dict[int, dict[str, Any]] = {}
        self._announced_full: dict[int, bytes] = {}
        self._changes_seen: dict[int, int] = {}
        self._announcing = False

    def changed(self) -> None:
        """The table changed: tell everybody, once per loop iteration. Before there is anybody a router may have no loop yet."""
        if not self._announcing and self._mgr.streams:
            self._announcing = True
            self._mgr.loop.call_soon(self._announce)

    def watch(self, stream: Stream) -> None:
        """From now on tell `stream` each group that changes, and now all there are.

        They come by one way, in order: a list in the answer could be read after a change that was told later.
        """
        self._announce()
        self._watchers.add(stream)
        for _, body in sorted(self._announced_full.items()):
            self._send(stream, body)

    def forget(self, stream: Stream) -> None:
        """A stream is closed."""
        self._watchers.discard(stream)

    def tell(self, stream: Stream, method: str, *args: Any) -> None:
        """Make one call to the other end of `stream`."""
        self._send(stream, pack_call(method, args))

    def _announce(self) -> None:
        self._announcing = False
        for_all: list[bytes] = []
        for_watchers: list[bytes] = []
        for number, group in self._mgr.switch.table.groups.items():
            if self._changes_seen.get(number) == group.changes:
                continue
            self._changes_seen[number] = group.changes
            public = public_group(group)
            if self._announced.get(number) != public:
                self._announced[number] = public
                for_all.append(pack_call("luabus.names", (public,)))
            full = pack_call("luabus.group", (self._router, full_group(group)))
            if self._announced_full.get(number) != full:
                self._announced_full[number] = full
                for_watchers.append(full)
        for stream in self._open_streams():
            for body in [*for_all, *for_watchers] if stream in self._watchers else for_all:
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
