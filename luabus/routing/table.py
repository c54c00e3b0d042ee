"""Who is where: groups, their members, vacancies and masters, and the choice among them. Pure.

A group's *members* are the ids that are live, each at its connection; a *vacancy* is an entry of one that is expected and not
there. Keys belong to members alone, by the rule of `buckets`, so that every router with the same members chooses alike. The table
holds whatever stands for a connection (`T`: a port in a router, a string in a test) and never looks into it.

A group may have 65,535 entries: so a change costs the same however many there are, and what is derived from all of them
is derived when somebody looks.

Epochs: a claim to be master carries the epoch of its lease. The highest epoch ever claimed per group stays, also when the
master's connection dies; lower ones are refused, and the same epoch from two ids is an alarm. Whom to believe which epoch is
decided in `epochs`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Generic, TypeVar
from zlib import crc32

from luabus.errors import IdInUse, StaleEpoch
from luabus.ids import MAX_INSTANCE, ServiceId
from luabus.limits import EPOCH_LEAP
from luabus.messages import Message
from luabus.routing.buckets import BUCKETS, Buckets
from luabus.routing.epochs import Insistence

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One registration. `where` is None for a vacancy; `process` tells processes of one incarnation apart: a random number, 0
    where none was given, None for an entry that was made by hand."""

    where: T | None
    incarnation: int = 0
    process: int | None = None


@dataclass(slots=True)
class Group(Generic[T]):
    """One group of a `Table`. `expected`: the instances 1 to so many should be there; None where nobody says how many."""

    number: int
    name: str = ""
    mode: str = ""
    expected: int | None = None
    entries: dict[int, Entry[T]] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)
    """Of all entries, in order."""
    live: list[int] = field(default_factory=list)
    """Of the members, in order."""
    master: int = 0
    elected: bool = False
    epoch: int = 0
    epoch_holder: int = 0
    insistence: Insistence = field(default_factory=Insistence)
    changes: int = 0
    _fingerprint: int = 0
    _buckets: Buckets | None = None
    _members: tuple[T, ...] | None = None
    _by_bucket: tuple[T, ...] | None = None
    _shares: dict[int, float] | None = None

    @property
    def members(self) -> tuple[T, ...]:
        """Where the live entries are, by id."""
        if self._members is None:
            self._members = tuple(map(self._where, self.live))
        return self._members

    @property
    def by_bucket(self) -> tuple[T, ...]:
        """Where the keys of each bucket go; empty without members."""
        if self._by_bucket is None:
            self._by_bucket = tuple(map(self._where, self._owners())) if self.live else ()
        return self._by_bucket

    @property
    def shares(self) -> dict[int, float] | None:
        """The part of the keys, 0 to 1, of each member that has any; None in a group that is not asked by key."""
        if self._buckets is None and self.mode != "hash":
            return None
        if self._shares is None:
            owned = Counter(self._owners()) if self.live else {}
            self._shares = {member: count / BUCKETS for member, count in owned.items()}
        return self._shares

    @property
    def digest(self) -> int:
        """32 bits over ids, who of them is live, master and epoch."""
        shown = int(self.master) if self.master_at() is not None else 0
        return crc32(f"{self.number} {self._fingerprint} {shown} {self.epoch}".encode())

    @property
    def label(self) -> str:
        """Its name, or its number where it has none."""
        return self.name or str(self.number)

    def named(self, service_id: int) -> str:
        """`mail.1` of an id of this group; `2.1` where the group has no name."""
        return ServiceId(service_id).named({self.number: self.name})

    def expects(self, service_id: int) -> bool:
        """Whether this instance is one of those that should be there, as somebody has said."""
        return self.expected is not None and service_id & MAX_INSTANCE <= self.expected

    def master_at(self) -> T | None:
        """Where the master is; None without a master or when it is not connected here."""
        entry = self.entries.get(self.master)
        return entry.where if entry else None

    def enter(self, service_id: int, entry: Entry[T] | None) -> Entry[T] | None:
        """Write (None: delete) one entry; returns the former one."""
        service_id = int(service_id)
        former = self.entries.get(service_id)
        if former is not None:
            self._fingerprint -= _fingerprint(service_id, former.where is not None)
        if entry is None:
            self.entries.pop(service_id, None)
        else:
            self.entries[service_id] = entry
            self._fingerprint += _fingerprint(service_id, entry.where is not None)
        if (former is None) != (entry is None):
            _note(self.ids, service_id, entry is not None)
        was, lives = (known is not None and known.where is not None for known in (former, entry))
        if was != lives:
            _note(self.live, service_id, lives)
            if self._buckets is not None:
                (self._buckets.enter if lives else self._buckets.leave)(service_id)
        if was or lives:
            self._members = self._by_bucket = self._shares = None
        return former

    def _owners(self) -> list[int]:
        if self._buckets is None:
            self._buckets = Buckets(self.live)
        return self._buckets.owners(self.live)

    def _where(self, service_id: int) -> T:
        where = self.entries[service_id].where
        assert where is not None  # only members are asked for
        return where


def _fingerprint(service_id: int, live: bool) -> int:
    """Their sum tells tables apart, in whatever order entries came."""
    return int.from_bytes(blake2b(b"%d%c" % (service_id, b"-+"[live]), digest_size=8).digest())


def _note(ids: list[int], service_id: int, there: bool) -> None:
    """Keep sorted ids so: one more, or one less."""
    if there:
        insort(ids, service_id)
    else:
        del ids[bisect_left(ids, service_id)]


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

    def lives(self, number: int, but: T | None = None) -> bool:
        """Whether the group has a member, other than over the connection `but`."""
        group = self.groups.get(number)
        own = 0 if but is None else sum(known >> 16 == number for known in self._ids.get(but, ()))
        return group is not None and len(group.live) > own

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

    def expect(self, number: int, count: int | None) -> bool:
        """The instances 1 to `count` should be there: those that are not become vacancies, and vacancies beyond are gone. None:
        nobody says how many, and all vacancies are gone. False when it was so already."""
        group = self.group(number)
        if count is not None and group.expected == count:
            return False
        group.expected = count
        vacant = {known for known in group.ids if group.entries[known].where is None}
        wanted = range(number << 16 | 1, (number << 16) + (count or 0) + 1)
        for service_id in vacant.difference(wanted):
            group.enter(service_id, None)
        for service_id in wanted:
            if service_id not in group.entries:
                group.enter(service_id, Entry(None))
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
                f"{self.group(service_id >> 16).named(service_id)} is held by a live process with incarnation {old.incarnation};"
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
        """Keep (or make) the entry as a vacancy: it is expected, and has no keys."""
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

    def lost(self, where: T, *, orderly: bool = False) -> list[int]:
        """A connection is gone: its entries become vacancies, if they are expected; or if nobody says who is, unless it left in
        order. Others are removed.

        Only entries that still are this connection's: a successor's registration stays. Returns the ids concerned.
        """
        gone = sorted(self._ids.get(where, ()))
        for service_id in gone:
            group = self.group(service_id >> 16)
            vacant = group.expects(service_id) or (group.expected is None and not orderly)
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

    def claim(self, service_id: int, epoch: int, now: float = 0.0) -> bool:
        """The holder of the group's lease announces itself, at `now` (seconds); True when that was news.

        Raises `StaleEpoch` for an epoch below the highest seen, for the highest one claimed by another id, and for one that
        leaps, up or down; who insists on such a one is believed in the end (`epochs`).
        """
        group = self.group(service_id >> 16)
        leaps = abs(epoch - group.epoch) > EPOCH_LEAP
        stale = epoch < group.epoch or (epoch == group.epoch and group.epoch_holder not in (0, service_id))
        if (leaps and not group.insistence.convinces(service_id, epoch, now)) or (stale and not leaps):
            claims = Message(
                "alarm.epoch-claimed",
                name=group.named(service_id), epoch=epoch, group=group.label, holder=group.named(group.epoch_holder),
                highest=group.epoch,
            )  # fmt: skip
            raise StaleEpoch.coded(claims, group=group.number, epoch=epoch, highest=group.epoch)
        group.insistence.end()  # the one that is believed lives
        if group.elected and (group.master, group.epoch) == (service_id, epoch):
            return False
        group.elected = True
        group.master = group.epoch_holder = service_id
        group.epoch = epoch
        self._changed(group)
        return True

    def stand(self, number: int) -> bool:
        """A member stands for election: the group should have a master. True when that was news."""
        group = self.group(number)
        if group.elected:
            return False
        group.elected = True
        self._changed(group)
        return True

    def know_epoch(self, number: int, epoch: int) -> None:
        """Somebody has heard of this epoch: lower claims are refused, until a member's first claim tells more. So a router that
        has just started refuses the masters of the past. An epoch that leaps is not believed, nor one of an unknown group."""
        group = self.groups.get(number)
        claimed = group is None or group.epoch_holder or group.master
        if group is not None and not claimed and group.epoch < epoch <= EPOCH_LEAP:
            group.epoch, group.elected = epoch, True
            self._changed(group)

    def vouches(self, service_id: int, where: T, epoch: int) -> bool:
        """Whether `where` is its group's present master, as this id with this epoch."""
        group = self.groups.get(service_id >> 16)
        if group is None or group.epoch != epoch or group.master != service_id:
            return False
        return group.master_at() is where

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
        former = group.enter(service_id, entry)
        if former is not None and former.where is not None:
            ids = self._ids[former.where]
            ids.discard(service_id)
            if not ids:
                del self._ids[former.where]
        if entry is not None and entry.where is not None:
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
