"""What the dashboard knows at one moment: frozen, made by the feed, read by everything above it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dashboard.model.answers import Connection, Group, Process, RouterStats
from luabus.messages import Message


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
    launcher_error: Message | None = None
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
        """Each group once, by number: what any of the routers holds. One that has just started is no reason to believe that
        nobody is there, and where they differ `tables.differing_groups` says so."""
        found: dict[int, Group] = {}
        for router in self.live_tables():
            for group in router.groups:
                known = found.get(group.group)
                found[group.group] = group if known is None else _merged(known, group)
        return [found[number] for number in sorted(found)]

    def newcomers(self) -> list[RouterState]:
        """Connected routers at which no service has registered, while one has at another: they have just started."""
        tables = [router for router in self.live_tables() if router.connected]
        empty = [router for router in tables if not _held(router)]
        return empty if len(empty) < len(tables) else []

    def telling(self) -> list[RouterState]:
        """The routers whose tables tell how the cluster is: the connected ones but the newcomers; when none is connected, those
        that ever gave a table."""
        newcomers = self.newcomers()
        return [router for router in self.live_tables() if router not in newcomers]

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


def _held(router: RouterState) -> bool:
    return any(slot.token for group in router.groups for slot in group.slots)


def _merged(one: Group, other: Group) -> Group:
    """A slot is live when either says so; of two masters the one with the higher epoch, at equal epochs the one that is named."""
    slots = {slot.service_id: slot for slot in one.slots}
    for slot in other.slots:
        known = slots.get(slot.service_id)
        if known is None or (slot.token and not known.token):
            slots[slot.service_id] = slot
    first, second = ((group.epoch, group.master is not None) for group in (one, other))
    latest = other if second > first else one
    ordered = sorted(slots.values(), key=lambda slot: tuple(map(int, slot.service_id.split("."))))
    return one.model_copy(
        update={
            "slots": tuple(ordered),
            "master": latest.master,
            "epoch": latest.epoch,
            "elected": one.elected or other.elected,
        }
    )


TOPICS = ("status", "routes", "connections", "processes", "events", "series")
