"""All that is known of a cluster at one moment: frozen, made by the launcher from what it supervises and by the dashboard from
what it polls, read by everything that judges or shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from luabus.cluster.state import ConnectionState, GroupState, Launcher, Process, RouterStats
from luabus.messages import Message


@dataclass(frozen=True, slots=True)
class RouterState:
    """A router, and the last table it gave. `seen` is the time of that, in seconds since the epoch; None: never."""

    name: str
    address: str
    connected: bool
    seen: float | None = None
    groups: tuple[GroupState, ...] = ()
    stats: RouterStats | None = None

    def group(self, number: int) -> GroupState | None:
        return next((group for group in self.groups if group.group == number), None)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`at` in seconds since the epoch. `since`: when that began which is a fault only if it lasts (see `lasting`). `versions`
    counts the changes of each topic, so that a reader can tell whether it has seen this already."""

    cluster: str
    at: float
    routers: tuple[RouterState, ...] = ()
    connections: tuple[ConnectionState, ...] = ()
    processes: tuple[Process, ...] = ()
    processes_seen: float | None = None
    launcher: Launcher = field(default_factory=Launcher)
    launcher_error: Message | None = None
    bus_error: str | None = None
    since: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    versions: Mapping[str, int] = field(default_factory=dict)

    @property
    def routed(self) -> bool:
        """Whether any router answers."""
        return any(router.connected for router in self.routers)

    def live_tables(self) -> list[RouterState]:
        """The routers whose table is current; when none is, those that ever gave one."""
        live = [router for router in self.routers if router.connected and router.seen is not None]
        return live or [router for router in self.routers if router.seen is not None]

    def groups(self) -> list[GroupState]:
        """Each group once, by number: what any of the routers holds. One that has just started is no reason to believe that
        nobody is there, and where they differ `differing_groups` says so."""
        merged: dict[int, GroupState] = {}
        for router in self.live_tables():
            for group in router.groups:
                known = merged.get(group.group)
                merged[group.group] = group if known is None else _merged(known, group)
        return [merged[number] for number in sorted(merged)]

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

    def differing_groups(self) -> set[int]:
        """The numbers of the groups about which the connected routers do not say the same."""
        tables = [router for router in self.routers if router.connected and router.seen is not None]
        # A group without entries is only a name that one router has heard and the other not yet.
        views = [{group.group: _agreed(group) for group in router.groups if group.slots} for router in tables]
        numbers = {number for view in views for number in view}
        return {number for number in numbers if len({view.get(number) for view in views}) > 1}

    def lasting(self, before: Mapping[str, float]) -> Mapping[str, float]:
        """What is so now and is a fault if it lasts, with the time since when: `before` is what was so at the last look.

        `masterless.5`: group 5 has members and should have a master; `differing.5`: the routers that have not just started
        disagree about it. Nothing while no router answers.
        """
        if not self.routed:
            return {}
        settled = replace(self, routers=tuple(router for router in self.telling() if router.connected))
        present = [
            f"masterless.{group.group}"
            for group in self.groups()
            if group.mastered and group.master is None and group.live
        ]
        present += [f"differing.{number}" for number in settled.differing_groups()]
        return {what: before.get(what, self.at) for what in present}

    def lasted_s(self, what: str) -> float:
        """For how many seconds this is so; 0 when it is not."""
        return max(self.at - self.since.get(what, self.at), 0.0)

    def process(self, name: str) -> Process | None:
        return next((process for process in self.processes if process.name == name), None)

    def services(self) -> dict[str, list[Process]]:
        """The processes of each service, in the order the launcher gave."""
        processes: dict[str, list[Process]] = {}
        for process in self.processes:
            processes.setdefault(process.service or process.name, []).append(process)
        return processes

    def names(self) -> Iterator[str]:
        """Every name that a verb about processes takes: instances and services."""
        yield from (process.name for process in self.processes)
        yield from self.services()


def _held(router: RouterState) -> bool:
    return any(group.live for group in router.groups)


def _agreed(group: GroupState) -> tuple[object, ...]:
    """What all routers must have alike; tokens are each router's own, only live or vacant counts."""
    entries = sorted((slot.service_id, slot.token == 0) for slot in group.slots)
    return (group.master, group.epoch, tuple(entries))


def _merged(one: GroupState, other: GroupState) -> GroupState:
    """A slot is live when either says so; of two masters the one with the higher epoch, at equal epochs the one that is named."""
    slots = {slot.service_id: slot for slot in one.slots}
    for slot in other.slots:
        known = slots.get(slot.service_id)
        if known is None or (slot.token and not known.token):
            slots[slot.service_id] = slot
    first, second = ((group.epoch, group.master is not None) for group in (one, other))
    latest = other if second > first else one
    return replace(
        one,
        slots=tuple(sorted(slots.values(), key=lambda slot: tuple(map(int, slot.service_id.split("."))))),
        master=latest.master,
        epoch=latest.epoch,
        elected=one.elected or other.elected,
    )


TOPICS = ("status", "routes", "connections", "processes", "events", "series")
