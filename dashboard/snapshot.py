"""What the dashboard knows at one moment: frozen, made by the feed, read by everything above it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dashboard.model import Connection, Group, Process, RouterStats


@dataclass(frozen=True, slots=True)
class RouterState:
    """A router, and the last table it gave. `seen` is the time of that, in seconds since the epoch; None: never."""

    name: str
    address: str
    connected: bool
    seen: float | None = None
    groups: tuple[Group, ...] = ()
    stats: RouterStats | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`versions` counts the changes of each topic, so that a reader can tell whether it has seen this already."""

    cluster: str
    at: float
    routers: tuple[RouterState, ...] = ()
    connections: tuple[Connection, ...] = ()
    processes: tuple[Process, ...] = ()
    processes_seen: float | None = None
    launcher_error: str | None = None
    bus_error: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)

    @property
    def routed(self) -> bool:
        """Whether any router answers."""
        return any(router.connected for router in self.routers)

    def live_tables(self) -> list[RouterState]:
        """The routers whose table is current; when none is, those that ever gave one."""
        live = [router for router in self.routers if router.connected and router.seen is not None]
        return live or [router for router in self.routers if router.seen is not None]

    def groups(self) -> list[Group]:
        """Each group once, by number: from the first router that has it."""
        found: dict[int, Group] = {}
        for router in self.live_tables():
            for group in router.groups:
                found.setdefault(group.group, group)
        return [found[number] for number in sorted(found)]

    def process(self, name: str) -> Process | None:
        return next((process for process in self.processes if process.name == name), None)

    def services(self) -> dict[str, list[Process]]:
        """The processes of each service, in the order the launcher gave."""
        found: dict[str, list[Process]] = {}
        for process in self.processes:
            found.setdefault(process.service or process.name, []).append(process)
        return found

    def names(self) -> Iterator[str]:
        """Every name that a verb about processes takes: instances and services."""
        yield from (process.name for process in self.processes)
        yield from self.services()


TOPICS = ("status", "routes", "connections", "processes", "events", "series")
