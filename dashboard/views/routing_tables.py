"""Routing tables side by side: entries of each router, differences, and the place of a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard.model.answers import KeyPlace, KeyPlaces, RouterTable, Routes
from luabus.cluster import entries
from luabus.cluster.snapshot import RouterState, Snapshot
from luabus.cluster.state import GroupState, Slot

_Foreign = Mapping[tuple[str, str], str]
"""By router and service id."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry at one router. `state` is live, vacant, or absent; `differs` when not all live routers have the same; `foreign`
    names the service whose connection the entry points at, when that is another one; `past` at a router that does not answer
    while another does."""

    router: str
    state: str
    token: int | None
    master: bool
    differs: bool
    foreign: str = ""
    past: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of a group across the routers. `share` of the keys is None where they are not hashed."""

    service_id: str
    name: str
    share: float | None
    cells: tuple[Cell, ...]

    @property
    def sick(self) -> bool:
        return any(
            cell.differs or cell.foreign or cell.state == "vacant" for cell in self.cells if not cell.past
        )


@dataclass(frozen=True, slots=True)
class MasterCell:
    router: str
    master: str | None
    name: str | None
    epoch: int
    differs: bool
    past: bool = False


@dataclass(frozen=True, slots=True)
class GroupTable:
    """The counts are those of the router that has it worst, among those whose tables tell (`Snapshot.telling`): the most
    vacancies, the fewest members; `master` is None when one of them knows none. `epoch` is the highest."""

    group: int
    name: str
    mode: str
    slots: int
    vacant: int
    members: int
    master: str | None
    epoch: int
    masters: tuple[MasterCell, ...]
    rows: tuple[Row, ...]

    @property
    def hashed(self) -> bool:
        """Whether keys matter, so that each instance's share is shown."""
        return any(row.share is not None for row in self.rows)

    @property
    def mastered(self) -> bool:
        """Whether the group has, or should have, a master."""
        return self.mode == "master" or any(
            cell.epoch > 0 or cell.master for cell in self.masters if not cell.past
        )

    @property
    def differs(self) -> bool:
        return any(cell.differs for cell in self.masters) or any(
            cell.differs for row in self.rows for cell in row.cells
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the group and of its entries."""
        return self.name, *(row.name for row in self.rows)


def routes(snapshot: Snapshot) -> Routes:
    """Answer of the API: every router's table."""
    tables = tuple(
        RouterTable(
            router=router.name,
            connected=router.connected,
            age_s=None if router.seen is None else round(max(snapshot.at - router.seen, 0.0), 1),
            groups=router.groups,
        )
        for router in snapshot.routers
    )
    return Routes(consistent=snapshot.routed and not snapshot.differing_groups(), routers=tables)


def group_tables(snapshot: Snapshot) -> list[GroupTable]:
    """Table of each group that a live router has, with one cell per entry and router that ever gave a table."""
    routers = [router for router in snapshot.routers if router.seen is not None]
    numbers = sorted({group.group for router in snapshot.live_tables() for group in router.groups})
    telling = [router.name for router in snapshot.telling()]
    foreign = {(router, service_id): row.name for router, service_id, row in entries.foreign(snapshot)}
    return [_table(number, routers, telling, foreign) for number in numbers]


def _table(
    number: int, routers: Sequence[RouterState], telling: Sequence[str], foreign: _Foreign
) -> GroupTable:
    held = {router.name: next((g for g in router.groups if g.group == number), None) for router in routers}
    live = [router.name for router in routers if router.connected]
    # Values of an entry as a whole, such as its share, come from a router that answers.
    groups = [group for name in sorted(held, key=lambda name: name not in live) if (group := held[name])]
    slots: dict[str, Slot] = {}
    for group in groups:
        for slot in group.slots:
            slots.setdefault(slot.service_id, slot)
    order = sorted(slots.values(), key=lambda slot: _numeric(slot.service_id))
    # A router that lacks the group altogether has nobody in it.
    nobody = GroupState(group=number, name=groups[0].name)
    counted = [held[name] or nobody for name in telling]
    masters = {group.master for group in counted}
    latest = max(counted, key=lambda group: group.epoch)
    return GroupTable(
        group=number,
        name=groups[0].name,
        mode=next((group.mode for group in groups if group.mode), ""),
        slots=max(len(group.slots) for group in counted),
        vacant=max(sum(slot.token == 0 for slot in group.slots) for group in counted),
        members=min(sum(slot.token != 0 for slot in group.slots) for group in counted),
        master=None if None in masters else latest.master,
        epoch=latest.epoch,
        masters=_masters(held, live),
        rows=tuple(_row(slot, held, live, foreign) for slot in order),
    )


def _numeric(service_id: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in service_id.split("."))


def _masters(held: dict[str, GroupState | None], live: Sequence[str]) -> tuple[MasterCell, ...]:
    masters = {(group.master, group.epoch) if group else (None, 0) for name in live for group in [held[name]]}
    cells = []
    for router, group in held.items():
        master = group.master if group else None
        name = (
            next((slot.name for slot in group.slots if slot.service_id == master), master) if group else None
        )
        cells.append(
            MasterCell(
                router=router,
                master=master,
                name=name,
                epoch=group.epoch if group else 0,
                differs=len(masters) > 1 and router in live,
                past=bool(live) and router not in live,
            )
        )
    return tuple(cells)


def _row(slot: Slot, held: dict[str, GroupState | None], live: Sequence[str], foreign: _Foreign) -> Row:
    by_router = {
        router: next((s for s in group.slots if s.service_id == slot.service_id), None) if group else None
        for router, group in held.items()
    }
    states = {
        router: "absent" if entry is None else "live" if entry.token else "vacant"
        for router, entry in by_router.items()
    }
    differs = len({states[router] for router in live}) > 1
    cells = tuple(
        Cell(
            router=router,
            state=states[router],
            token=entry.token if entry else None,
            master=(group := held[router]) is not None and group.master == slot.service_id,
            differs=differs and router in live,
            foreign=foreign.get((router, slot.service_id), ""),
            past=bool(live) and router not in live,
        )
        for router, entry in by_router.items()
    )
    return Row(slot.service_id, slot.name, slot.share, cells)


def key_places(snapshot: Snapshot, number: int, key: str, hashed: int) -> KeyPlaces:
    """Place of `key`, whose hash is given, at each connected router."""
    places = []
    for router in snapshot.live_tables():
        group = next((g for g in router.groups if g.group == number), None)
        line = group.line(hashed) if group else []
        owner = line[0] if line else None
        serves, following, *_ = [*(slot for slot in line if slot.token), None, None]
        places.append(
            KeyPlace(
                router=router.name,
                bucket=GroupState.bucket(hashed),
                service_id=serves.service_id if serves else None,
                name=serves.name if serves else None,
                owner=owner.name if owner else None,
                next=following.name if following else None,
                moved=owner is not serves,
            )
        )
    agree = len({(p.owner, p.service_id) for p in places}) <= 1
    return KeyPlaces(group=number, key=key, hash=hashed, routers=tuple(places), agree=agree)
