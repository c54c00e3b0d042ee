"""Those who watch a router's table: each is told the groups that changed, page by page, as fast as it reads.

A group may have 65,535 entries, and there may be 255 of them. So what a watcher has yet to be told is kept as numbers of groups,
and made into pages when there is room for them: one that reads slowly is told less often, never something old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from luabus.protocol.codec import pack_call
from luabus.protocol.port import Port
from luabus.routing.table import Group
from luabus.routing.views import group_page
from luabus.transport.stream import CALL_ROUTE, Stream

_WINDOW: Final = 256 * 1024
"""Bytes of pages after which they are written, to see whether the watcher takes them."""


class Watcher:
    """One of them, at `router`: `groups` is the table's, `rows` as many as a page has at most."""

    def __init__(self, stream: Stream, router: str, groups: Mapping[int, Group[Port]], rows: int) -> None:
        self._stream = stream
        self._router = router
        self._groups = groups
        self._rows = rows
        self._untold: dict[int, None] = {}
        self._after: int | None = None  # where the group that comes first is to be gone on with
        self._telling: asyncio.Future[None] | None = None

    def changed(self, numbers: Iterable[int], spawn: Callable[[Any], Any]) -> None:
        """These groups are to be told: at once while the watcher reads, else by a task, which `spawn` begins."""
        self._untold.update(dict.fromkeys(numbers))
        if self._telling is None and not self._tell():
            self._telling = asyncio.get_running_loop().create_future()
            spawn(self._go_on(self._telling))

    async def told(self) -> None:
        """Wait until nothing is left to be told."""
        if self._telling is not None:
            await asyncio.wait((self._telling,))

    async def _go_on(self, telling: asyncio.Future[None]) -> None:
        try:
            while not self._tell():
                await self._stream.drained()
        finally:
            self._telling = None
            telling.set_result(None)

    def _tell(self) -> bool:
        """Send pages while they are taken; False when there are more."""
        stream = self._stream
        while self._untold:
            if stream.is_closed:
                self._untold.clear()
                break
            if stream.reserved > _WINDOW:
                stream.flush()
            if stream.is_paused:
                return False
            number = next(iter(self._untold))
            page = group_page(self._groups[number], self._after or 0, self._rows)
            self._after = page["next"]
            if self._after is None:
                del self._untold[number]
            stream.send_reserved(CALL_ROUTE, body=pack_call("luabus.group", (self._router, page)))
        return True
