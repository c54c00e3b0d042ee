"""What becomes of a frame, decided once per route: the switch looks it up for each frame. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from luabus.errors import LuabusError, NoMaster, NoRoute, Overloaded, ProtocolError, StaleEpoch
from luabus.ids import ServiceId
from luabus.limits import MAX_OUTSTANDING
from luabus.protocol.frames import (
    FLAG_COUNT,
    FLAG_EPOCH,
    FLAG_META,
    FLAG_REQUEST,
    HEADER_SIZE,
    META,
    Kind,
    check_header,
    make_route,
)
from luabus.protocol.port import Port
from luabus.routing.access import Access, not_let_in
from luabus.routing.sinks import FORBIDDEN, NO_MASTER_NOW, NOBODY, Sink
from luabus.routing.table import Table

# How a plan says to treat its frames.
DIRECT: Final = 0
HASH: Final = 1
RANDOM: Final = 2
BROADCAST: Final = 3
ANSWER: Final = 4
LOCAL: Final = 5
VOUCHED: Final = 6
"""One by one, if its sender is the master of the epoch in it; then by the plan that stands in the place of whom it goes to."""

# What a plan says about its frames beside that.
PLAIN: Final = 0
TRACKED: Final = 1
WITH_META: Final = 2

ANSWER_ROUTES: Final = tuple(
    make_route(kind, flags) for kind in (Kind.REPLY, Kind.ERROR) for flags in range(FLAG_EPOCH)
)
"""Every route that an answer can have, but for its destination."""

Plan = tuple[int, Any, int, int]
"""How to treat a frame; whom it goes to, or among whom; among how many; and what else to mind."""


def make_plan(
    route: int, table: Table[Port], by_id: Mapping[int, Port], access: Access | None = None, caller: str = ""
) -> Plan:
    """How frames of this route are treated, as `table` stands, when they come from this class of callers.

    `by_id`: who can be answered. `access` None: everybody may call everybody. Raises `ProtocolError` for a route that cannot be.
    """
    kind, flags, group, destination = route & 0xFF, route >> 8 & 0xFF, route >> 16 & 0xFFFF, route >> 32
    check_header(0xFFFF, route, 0xFFFF)
    care = WITH_META if flags & FLAG_META else PLAIN
    if kind <= Kind.CALL or kind == Kind.CANCEL or kind == Kind.REACHED:
        return LOCAL, None, 0, care
    if kind == Kind.REPLY or kind == Kind.ERROR:
        if destination == 0:
            return LOCAL, None, 0, care
        return ANSWER, by_id.get(destination), 0, care
    plan = _next_hop(kind, flags, group, destination, table, access, caller)
    return (VOUCHED, plan, 0, WITH_META) if flags & FLAG_EPOCH else plan


def _next_hop(
    kind: int,
    flags: int,
    group: int,
    destination: int,
    table: Table[Port],
    access: Access | None,
    caller: str,
) -> Plan:
    care = TRACKED if flags & FLAG_REQUEST else WITH_META if flags & FLAG_META else PLAIN
    if access is not None:
        called = table.groups.get(destination >> 16 if kind == Kind.TARGET else group)
        if called is not None and not access.may_call(caller, called.label):
            refusal = not_let_in(caller, called.label, access.let_in(called.label))
            # Whoever asks how many a broadcast has reached is told why it were none.
            return DIRECT, Sink(FORBIDDEN, refusal), 0, TRACKED if flags & FLAG_COUNT else care
    if kind == Kind.TARGET:
        return DIRECT, table.where(destination) or NOBODY, 0, care
    known = table.groups.get(group)
    if kind == Kind.BROADCAST:
        return BROADCAST, known.members if known else (), 0, care
    if kind == Kind.MASTER:
        return DIRECT, (known.master_at() if known else None) or NO_MASTER_NOW, 0, care
    targets = (known.by_bucket if kind == Kind.HASH else known.members) if known else ()
    if not targets:
        return DIRECT, NOBODY, 0, care
    return (HASH if kind == Kind.HASH else RANDOM), targets, len(targets), care


def receivers(route: int, key: int, table: Table[Port]) -> tuple[Port, ...]:
    """Whom a message would reach, or might if it is random. Raises `ProtocolError` for a route that cannot be."""
    mode, where, count, _ = make_plan(route & ~(FLAG_EPOCH << 8), table, {})
    if mode == DIRECT:
        return (where,)
    if mode == HASH:
        return (where[key % count],)
    return tuple(where) if mode in (RANDOM, BROADCAST) else ()


def why_refused(
    table: Table[Port], port: Port, goal: Port, route: int, sequence: int, size: int, credit: int
) -> LuabusError | None:
    """Why this request cannot be forwarded, if it cannot; in the names that `table` knows."""
    if size <= credit and len(port.outstanding) < MAX_OUTSTANDING and sequence not in port.outstanding:
        return None
    if goal is NOBODY:
        words = describe_route(route, table)
        return NoRoute(f"nobody is there for {words}", route=words)
    if type(goal) is Sink and goal.forbidden is not None:
        return goal.forbidden
    if goal is NO_MASTER_NOW:
        group = route >> 16 & 0xFFFF
        return NoMaster(f"group {group_label(group, table)} has no master now", group=group)
    if sequence in port.outstanding:
        return ProtocolError(f"sequence {sequence} is still in flight")
    if len(port.outstanding) >= MAX_OUTSTANDING:
        return Overloaded(
            f"{MAX_OUTSTANDING} requests of this connection are in flight already",
            what="requests in flight", limit=MAX_OUTSTANDING, current=len(port.outstanding),
        )  # fmt: skip
    return no_credit(table, goal, size, credit)


def why_stale(table: Table[Port], port: Port, frame: bytes) -> StaleEpoch | None:
    """An epoch is vouched for like the source: only the group's present master, as the table has it, can carry it. Why this
    frame's cannot be carried, if it cannot: its sender has been superseded.

    Raises `ProtocolError` for an epoch that this port never claimed.
    """
    epoch = META.unpack_from(frame, HEADER_SIZE)[1]
    if table.vouches(port.id, port, epoch):
        return None
    sender = named(port.id, table)
    if epoch > port.claimed:
        raise ProtocolError(
            f"a frame claims to come from a master of epoch {epoch}, which {sender} has not claimed"
        )
    group = table.group(port.id >> 16)
    return StaleEpoch(
        f"{sender} speaks as master of epoch {epoch}, and is none; group {group.label} is at {group.epoch}",
        group=group.number, epoch=epoch, highest=group.epoch,
    )  # fmt: skip


def no_credit(table: Table[Port], goal: Port, size: int, credit: int) -> Overloaded:
    """The error for a request of `size` bytes to one that has `credit` for less."""
    left = max(0, credit)
    return Overloaded(
        f"{named(goal.id, table)} does not read: {left} bytes are left of its buffer, the request has {size}",
        what="bytes to a slow receiver", limit=left, current=size,
    )  # fmt: skip


def named(service_id: int, table: Table[Port]) -> str:
    """`mail.1` where the table knows the group's name, else `2.1`."""
    group = table.groups.get(service_id >> 16)
    return str(ServiceId(service_id)) if group is None else group.named(service_id)


def group_label(number: int, table: Table[Port]) -> str:
    """Its name where the table knows one, else its number."""
    group = table.groups.get(number)
    return group.label if group is not None else str(number)


def describe_route(route: int, table: Table[Port]) -> str:
    """A routed frame's way in words: `target mail.1`, `hash over group mail`; in numbers where the table knows no name."""
    kind, group, destination = route & 0xFF, route >> 16 & 0xFFFF, route >> 32
    if kind == Kind.TARGET:
        return f"target {named(destination, table)}"
    words = {
        Kind.HASH: "hash over",
        Kind.RANDOM: "random in",
        Kind.BROADCAST: "broadcast to",
        Kind.MASTER: "master of",
    }
    return f"{words.get(Kind(kind), str(kind))} group {group_label(group, table)}"
