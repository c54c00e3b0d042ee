"""What the routers say: which of them are connected, who is registered where, who is master."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import luabus
import luabus.admin
from luabus.cluster.snapshot import RouterState, Snapshot
from luabus.cluster.state import ConnectionState, GroupState, RouterStats, of_map

log = logging.getLogger("luabus.launcher")

TELL_S: Final = 2.0
"""How long a router may take to hear what the cluster is; one that is hung is told when it comes back."""

PATIENCE_S: Final = 0.3
"""How long a status waits for what the routers must be asked: their alarms and connections."""


@dataclass(frozen=True)
class Presence:
    """Of one service id: at how many of the connected routers it is registered."""

    registered: int
    connected: int

    @property
    def everywhere(self) -> bool:
        return 0 < self.connected == self.registered

    @property
    def nowhere(self) -> bool:
        """Unknown (False) while no router is connected."""
        return self.connected > 0 and self.registered == 0


class BusWatch:
    """A client at every router, fed by their pushes. `on_change` is called after each."""

    def __init__(
        self,
        routers: Sequence[str],
        groups: Mapping[str, int],
        security: luabus.Security,
        on_change: Callable[[], None],
    ) -> None:
        self._addresses = list(routers)
        self._groups = dict(groups)
        self._security = security
        self._on_change = on_change
        self._document: Mapping[str, Any] | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._connected: set[str] = set()
        self._groups_at: dict[str, dict[int, GroupState]] = {}
        self._since: Mapping[str, float] = {}
        self._live: dict[tuple[str, int], frozenset[str]] = {}
        self._bus = luabus.Bus()
        self._bus.on_router(self._router)
        self._bus.on_group(self._group)

    async def start(self) -> None:
        """Begins to connect, and goes on for as long as it takes."""
        await self._bus.start(self._addresses, groups=self._groups, security=self._security)
        await self._bus.watch()

    async def configure(self, document: Mapping[str, Any]) -> None:
        """Tells the routers which groups there are and who may call whom; those that come later too."""
        self._document = document
        await asyncio.gather(*(self._tell(router) for router in self._connected))

    async def _tell(self, router: str) -> None:
        try:
            await self._bus.router(router).request("luabus.configure", self._document, timeout=TELL_S)
        except luabus.LuabusError as error:
            log.warning("%s was not told of groups and permissions: %s", router, error)

    async def close(self) -> None:
        """Disconnects."""
        for task in self._telling:
            task.cancel()
        await self._bus.close()

    @property
    def connected(self) -> frozenset[str]:
        """Names of the routers this is connected to."""
        return frozenset(self._connected)

    def presence(self, group: int, instance: int) -> Presence:
        """Where this service id is registered."""
        text = f"{group}.{instance}"
        registered = sum(1 for router in self._connected if text in self._live.get((router, group), ()))
        return Presence(registered, len(self._connected))

    async def is_connected(self, group: int, instance: int) -> bool:
        """Whether any router has an open connection of this service id, registered or not; True when none can be asked."""
        try:
            rows = await luabus.admin.connections(self._bus)
        except luabus.LuabusError:
            return True
        return any(row["service_id"] == f"{group}.{instance}" for row in rows)

    def snapshot(self, cluster: str) -> Snapshot:
        """The routers and their tables at this moment, and since when something is so that is a fault if it lasts."""
        now = time.time()
        routers = tuple(
            RouterState(
                name,
                address,
                name in self._connected,
                now if name in self._connected else None,
                tuple(group for _, group in sorted(self._groups_at.get(name, {}).items())),
            )
            for name, address in ((f"router.{n}", address) for n, address in enumerate(self._addresses, 1))
        )
        snapshot = Snapshot(cluster, now, routers)
        self._since = snapshot.lasting(self._since)
        return replace(snapshot, since=self._since)

    async def counted(self) -> tuple[dict[str, RouterStats], tuple[ConnectionState, ...]]:
        """What the connected routers count and warn of, by router, and all their connections. Nothing of what does not come soon;
        being lost is told by other means."""
        if not self._connected:
            return {}, ()
        try:
            async with asyncio.timeout(PATIENCE_S):
                stats, connections = await asyncio.gather(
                    luabus.admin.stats(self._bus), luabus.admin.connections(self._bus)
                )
        except (luabus.LuabusError, TimeoutError):
            return {}, ()
        by_router = {str(row["router"]): RouterStats.read(row) for row in stats}
        return by_router, tuple(of_map(ConnectionState, row) for row in connections)

    def masters(self) -> dict[int, dict[str, Any]]:
        """By group: `{"master": "2.1" | None, "epoch": n}`, the highest epoch that any connected router knows. Of two that know
        the same epoch, the one that names a master: the other has just started, or just lost its connection to it."""
        found: dict[int, dict[str, Any]] = {}
        for router in self._connected:
            for number, group in self._groups_at.get(router, {}).items():
                said = {"master": group.master, "epoch": group.epoch}
                known = found.get(number)
                if known is None or _rank(said) > _rank(known):
                    found[number] = said
        return found

    def _router(self, name: str, connected: bool) -> None:
        if connected:
            self._connected.add(name)
            if self._document is not None:  # it has read the file, but perhaps before that changed
                task = asyncio.get_running_loop().create_task(self._tell(name))
                self._telling.add(task)
                task.add_done_callback(self._telling.discard)
        else:
            self._connected.discard(name)
            for group in self._groups_at.pop(name, {}):
                self._live.pop((name, group), None)
        self._on_change()

    def _group(self, name: str, snapshot: dict[str, Any]) -> None:
        group = int(snapshot["group"])
        self._groups_at.setdefault(name, {})[group] = GroupState.read(snapshot)
        self._live[name, group] = frozenset(
            str(slot["service_id"]) for slot in snapshot["slots"] if slot["token"]
        )
        self._on_change()


def _rank(said: Mapping[str, Any]) -> tuple[int, bool]:
    return said["epoch"] or 0, said["master"] is not None
