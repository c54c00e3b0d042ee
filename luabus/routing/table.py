"""Who is where: groups, hash slots, members and masters, and the choice among them. Pure.

A group's *slots* are its hash array: ids in ascending order, each live or vacant, so that every router with the same
registrations chooses alike. Its *members* are the live ids, slots or not. The table holds whatever stands for a
connection (`T`: a port in a router, a string in a test) and never looks into it.

Epochs: a claim to be master carries the epoch of its lease. The highest epoch ever seen per group stays, also when the
master's connection dies; lower ones are refused, and the same epoch from two ids is an alarm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar
from zlib import crc32

from luabus.errors import IdInUse, StaleEpoch
from luabus.ids import ServiceId
from luabus.messages import Message

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One registration. `where` is None for a vacant slot; `process` tells processes of one incarnation apart: a random number, 0
    where none was given, None for an entry that was made by hand."""

    where: T | None
    incarnation: int = 0
    process: int | None = None


@dataclass(slots=True)
class Group(Generic[T]):
    """One group of a `Table`. The tuples and the digest are derived: when somebody looks, so that many changes cost it once."""

    number: int
    name: str = ""
    mode: str = ""
    configured: tuple[int, ...] | None = None
    entries: dict[int, Entry[T]] = field(default_factory=dict)
    master: int = 0
    elected: bool = False
    epoch: int = 0
    epoch_holder: int = 0
    changes: int = 0
    _derived: tuple[int, tuple[int, ...], tuple[T, ...], tuple[T, ...], int] = (0, (), (), (), 0)

    @property
    def slot_ids(self) -> tuple[int, ...]:
        """The ids of the hash array, sorted."""
        return self._derive()[1]

    @property
    def by_slot(self) -> tuple[T, ...]:
        """Where the keys of each slot go: to its own entry, or to the next live one, round the end."""
        return self._derive()[2]

    @property
    def members(self) -> tuple[T, ...]:
        """Where the live entries are, by id."""
        return self._derive()[3]

    @property
    def digest(self) -> int:
        """32 bits over ids, master and epoch."""
        return self._derive()[4]

    @property
    def label(self) -> str:
        """Its name, or its number where it has none."""
        return self.name or str(self.number)

    def is_slot(self, service_id: int) -> bool:
        return self.configured is None or service_id & 0xFFFF <= len(self.configured)

    def master_at(self) -> T | None:
        """Where the master is; None without a master or when it is not connected here."""
        entry = self.entries.get(self.master)
        return entry.where if entry else None

    def _derive(self) -> tuple[int, tuple[int, ...], tuple[T, ...], tuple[T, ...], int]:
        if self._derived[0] == self.changes:
            return self._derived
        ids = sorted(map(int, self.entries))  # a ServiceId prints differently, and the digest is of the text
        slot_ids = tuple(i for i in ids if self.is_slot(i))
        live: list[T] = []
        for service_id in ids:
            where = self.entries[service_id].where
            if where is not None:
                live.append(where)
        state = [f"{i}{'+' if self.entries[i].where is not None else '-'}" for i in ids]
        shown = int(self.master) if self.master_at() is not None else 0
        text = f"{self.number} {slot_ids} {state} {shown} {self.epoch}"
        digest = crc32(text.encode())
        self._derived = (self.changes, slot_ids, self._next_live(slot_ids), tuple(live), digest)
        return self._derived

    def _next_live(self, slot_ids: tuple[int, ...]) -> tuple[T, ...]:
        slots = [self.entries[i].where for i in slot_ids]
        following = next((where for where in slots if where is not None), None)
        if following is None:
            return ()
        next_live = []
        for where in reversed(slots):
            following = following if where is None else where
            next_live.append(following)
        return tuple(reversed(next_live))


class Table(Generic[T]):
    """The routing table of one router (or of any `SocketMgr` that registers).

    Every change goes through one of the verbs below, each of which returns the groups it changed. `version` counts
    changes, so that derived data knows when it is stale.
    """

    def __init__(self) -> None:
        self.groups: dict[int, Group[T]] = {}
        self.version = 0
        self._ids: dict[T, set[int]] = {}  # the other way round: who is here, under which ids

    def __len__(self) -> int:
        return sum(len(group.entries) for group in self.groups.values())

    def group(self, number: int) -> Group[T]:
        """The group; an empty one is made when there is none."""
        group = self.groups.get(number)
        if group is None:
            group = self.groups[number] = Group(number)
        return group

    def where(self, service_id: int) -> T | None:
        """Where the live instance is; None when it is unknown or vacant."""
        group = self.groups.get(service_id >> 16)
        entry = group.entries.get(service_id) if group else None
        return entry.where if entry else None

    def describe(self, number: int, *, name: str = "", mode: str = "") -> bool:
        """Note a group's name and usual route, "" leaves what is known; True when that was news."""
        group = self.group(number)
        return self.rename(number, name or group.name, mode or group.mode)

    def rename(self, number: int, name: str, mode: str) -> bool:
        """Set both, "" as well; True when that was news."""
        group = self.group(number)
        if (group.name, group.mode) == (name, mode):
            return False
        group.name, group.mode = name, mode
        group.changes += 1
        self.version += 1  # who may call a group goes by its name
        return True

    def release_slots(self, number: int) -> None:
        """No configuration fixes the group's slots any more: those that are vacant are gone."""
        group = self.group(number)
        group.configured = None
        group.entries = {known: entry for known, entry in group.entries.items() if entry.where is not None}
        self._changed(group)

    def configure_slots(self, number: int, count: int) -> bool:
        """Fix the group's hash slots to the instances 1..count; those without an entry become vacant slots.

        A count that differs from the known one replaces it. True when something changed.
        """
        group = self.group(number)
        wanted = tuple(number << 16 | instance for instance in range(1, count + 1))
        if group.configured == wanted:
            return False
        for gone in set(group.configured or ()) - set(wanted):
            if gone in group.entries and group.entries[gone].where is None:
                del group.entries[gone]
        group.configured = wanted
        for service_id in wanted:
            group.entries.setdefault(service_id, Entry(None))
        self._changed(group)
        return True

    def put(self, service_id: int, where: T, *, incarnation: int = 0, process: int | None = None) -> T | None:
        """Register a live instance; returns the connection it takes the place of, if another.

        Raises `IdInUse` when a live one with a higher incarnation is there, or another `process` with the same: who has the id
        keeps it, so that two cannot take it from each other in turn. Nothing is changed then. Of the same process the newer
        connection is right: it has lost the older one, which we do not know yet.
        """
        group = self.group(service_id >> 16)
        old = group.entries.get(service_id)
        held = old is not None and old.where is not None and old.where is not where
        if old and held and (old.incarnation > incarnation or _is_another(old, incarnation, process)):
            compared = "older" if old.incarnation > incarnation else "not newer"
            raise IdInUse(
                f"{ServiceId(service_id)} is held by a live process with incarnation {old.incarnation};"
                f" yours is {incarnation}, which is {compared}",
                service_id=service_id, incarnation=incarnation, holder=old.incarnation,
            )  # fmt: skip
        former = old.where if old and old.where is not where else None
        if former is not None:
            self._drop_master(
                group, service_id
            )  # as in `lost`: the one that took its place has not claimed anything
        self._enter(group, service_id, Entry(where, incarnation, process))
        self._changed(group)
        return former

    def vacate(self, service_id: int) -> None:
        """Keep (or make) the entry as a vacant slot: everybody else's hash stays as it is."""
        group = self.group(service_id >> 16)
        self._enter(group, service_id, Entry(None))
        self._drop_master(group, service_id)
        self._changed(group)

    def remove(self, service_id: int) -> bool:
        """Take the entry out of the table; False when there was none."""
        group = self.groups.get(service_id >> 16)
        if group is None or service_id not in group.entries:
            return False
        self._enter(group, service_id, None)
        self._drop_master(group, service_id)
        self._changed(group)
        return True

    def lost(self, where: T, *, keep_slots: bool = True) -> list[int]:
        """A connection is gone: its slots become vacant, its other entries are removed.

        Only entries that still are this connection's: a successor's registration stays. Returns the ids concerned.
        `keep_slots=False` (an orderly leave) also removes slots that no configuration fixes.
        """
        gone = sorted(self._ids.get(where, ()))
        for service_id in gone:
            group = self.group(service_id >> 16)
            fixed = group.configured is not None and group.is_slot(service_id)
            vacant = fixed or (keep_slots and group.configured is None)
            self._enter(group, service_id, Entry(None) if vacant else None)
            # Also an elected one: it claims its epoch again when it is back, a restarted process must not seem to.
            self._drop_master(group, service_id)
            self._changed(group)
        return gone

    def set_master(self, service_id: int) -> None:
        """By hand, without a lease: `service_id` is its group's master from now on."""
        group = self.group(service_id >> 16)
        group.master = service_id
        self._changed(group)

    def clear_master(self, number: int) -> None:
        """The group has no master from now on; its epoch stays."""
        group = self.group(number)
        if group.master:
            group.master = 0
            self._changed(group)

    def claim(self, service_id: int, epoch: int) -> bool:
        """The holder of the group's lease announces itself; True when that was news.

        Raises `StaleEpoch` for an epoch below the highest seen, and for the highest one claimed by another id.
        """
        group = self.group(service_id >> 16)
        if epoch < group.epoch or (epoch == group.epoch and group.epoch_holder not in (0, service_id)):
            holder = ServiceId(group.epoch_holder)
            claims = Message(
                "alarm.epoch-claimed",
                name=str(ServiceId(service_id)), epoch=epoch, group=group.number, holder=str(holder), highest=group.epoch,
            )  # fmt: skip
            raise StaleEpoch.coded(claims, group=group.number, epoch=epoch, highest=group.epoch)
        if group.elected and (group.master, group.epoch) == (service_id, epoch):
            return False
        group.elected = True
        group.master = group.epoch_holder = service_id
        group.epoch = epoch
        self._changed(group)
        return True

    def know_epoch(self, number: int, epoch: int) -> None:
        """Somebody has seen this epoch: lower ones are refused from now on, and a master of one is none any more."""
        group = self.group(number)
        if epoch > group.epoch:
            group.epoch, group.epoch_holder, group.elected = epoch, 0, True
            group.master = 0
            self._changed(group)

    def resign(self, service_id: int, epoch: int) -> bool:
        """The master of `epoch` is one no longer; the epoch stays. True when that was news."""
        group = self.group(service_id >> 16)
        if group.master != service_id or group.epoch != epoch:
            return False
        group.master = 0
        self._changed(group)
        return True

    def digests(self) -> dict[int, int]:
        """The digest of each group that has entries."""
        return {number: group.digest for number, group in self.groups.items() if group.entries}

    def digest(self) -> int:
        """32 bits over all groups; equal tables have equal digests, whatever their connections are."""
        parts = [f"{n}:{group.digest}" for n, group in sorted(self.groups.items()) if group.entries]
        return crc32(" ".join(parts).encode())

    def _enter(self, group: Group[T], service_id: int, entry: Entry[T] | None) -> None:
        """Write (None: delete) one entry, in both directions."""
        former = group.entries.pop(service_id, None) if entry is None else group.entries.get(service_id)
        if former is not None and former.where is not None:
            ids = self._ids[former.where]
            ids.discard(service_id)
            if not ids:
                del self._ids[former.where]
        if entry is not None:
            group.entries[service_id] = entry
            if entry.where is not None:
                self._ids.setdefault(entry.where, set()).add(service_id)

    def _drop_master(self, group: Group[T], service_id: int) -> None:
        if group.master == service_id:
            group.master = 0

    def _changed(self, group: Group[T]) -> None:
        group.changes += 1
        self.version += 1


def _is_another(entry: Entry[T], incarnation: int, process: int | None) -> bool:
    """Whether who comes is of the same incarnation as who is there, and not the same process."""
    if entry.incarnation != incarnation or entry.process is None or process is None:
        return False
    return process == 0 or process != entry.process
