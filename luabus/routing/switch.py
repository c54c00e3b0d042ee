"""The per-frame loop: bytes of one port in, bytes for other ports out. Pure: no I/O, no clock; chance is an argument.

`Switch.receive(port, data)` walks over the complete frames in `data`:

- frames to be routed are appended, byte for byte, to the `out` list of the ports they go to. Neighbouring frames with the same
  next hop are one slice of `data`; where next hops alternate in long data, its frames are put together for each;
- all other frames are handed to `port.deliver`.

Afterwards `dirty` holds each port whose `out` was empty before: the caller flushes them (`flush`), one write each. How it
decides is in `next_hop`, once per route; the loop itself only looks plans up. What it costs is in docs/benchmarks.md: anything
added here must show its price there.

One file because the loop and what it branches into share the state of one turn, and a call across modules is a price per frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from luabus.errors import Forbidden, LuabusError, Overloaded, PeerLost, ProtocolError
from luabus.ids import CLIENT_BASE, ServiceId
from luabus.limits import MAX_OUTSTANDING, MAX_PLANS
from luabus.protocol import codec
from luabus.protocol.delivery import Delivery
from luabus.protocol.frames import (
    FLAG_COUNT,
    FLAG_REQUEST,
    HEADER,
    HEADER_SIZE,
    META_SIZE,
    Kind,
    check_header,
    make_route,
)
from luabus.protocol.port import NO_PORTS, Port
from luabus.protocol.waiting import BURST
from luabus.routing.access import Access, class_of
from luabus.routing.buckets import BUCKETS
from luabus.routing.next_hop import (
    ANSWER,
    ANSWER_ROUTES,
    BROADCAST,
    DIRECT,
    HASH,
    LOCAL,
    PLAIN,
    RANDOM,
    TRACKED,
    VOUCHED,
    Plan,
    make_plan,
    named,
    no_credit,
    why_refused,
    why_stale,
)
from luabus.routing.sinks import CROWDED, LATE, NO_ROUTE, OVERLOADED, STALE, Sink
from luabus.routing.table import Table

_ERROR: Final = int(Kind.ERROR)
_ERROR_KEPT: Final = 4096
"""Bytes of the last error that a port has answered with, kept to be shown."""

_SCATTER_BYTES: Final = 8 * 1024
"""Bytes that must lie ahead for `_scatter` to be worth its preparations."""
_SCATTER_FRAMES: Final = 16
"""Frames that it must have taken to be tried again in the same data."""


class Switch(Delivery):
    """The ports of one process and what is routed between them.

    `chance` gives floats in [0, 1). While `routing` is false nothing is routed and every frame is delivered: so it is in a
    service or a client. The first registration makes a process a router, to those whose connections it accepted. What comes over
    one that it opened itself (`Port.delivers`) is delivered as before: there it is the client. `access`: who may call whom, None
    where everybody may call everybody; `refused(error, frames)` is called when frames go nowhere for it.
    """

    def __init__(self, chance: Callable[[], float], *, routing: bool = False) -> None:
        super().__init__()
        self.routing = routing
        self.table: Table[Port] = Table()
        self.chance = chance
        self.access: Access | None = None
        self.refused: Callable[[Forbidden, int], None] = lambda error, frames: None
        self._plans: dict[int, Plan] = {}
        self._plans_of: dict[str, dict[int, Plan]] = {}  # by class of callers, where there is `access`
        self._plans_for: dict[Port, dict[int, Plan]] = {}
        self._plans_version = -1
        self._owners: dict[int, tuple[tuple[int, ...], tuple[Port, ...]]] = {}
        self._digests = (-1, b"")
        self._by_id: dict[int, Port] = {}

    # --- ports ------------------------------------------------------------------------------------------------

    def start_routing(self) -> None:
        """Be a router from now on."""
        self.routing = True

    def guard(self, access: Access) -> None:
        """From now on these rules say who may call whom."""
        self.access = access if access.restricts else None
        self._plans_version = -1

    def caller_class(self, port: Port) -> str:
        """Which class of callers a port belongs to."""
        group = self.table.groups.get(port.id >> 16) if port.id < CLIENT_BASE else None
        return class_of(port.principal, group.label if group is not None else "")

    def attach(self, port: Port, port_id: int | None = None) -> None:
        """Make `port` reachable for answers under `port_id` (default: the id it has); a former holder loses it.

        The client id that the handshake gave stays good for answers: requests may be in flight when a service registers.
        """
        if self._by_id.get(port.id) is port and port.id != CLIENT_BASE | port.token:
            self._unreachable(port.id)
        if port_id is not None:
            port.id = int(port_id)
        self._unreachable(port.id)
        self._by_id[port.id] = port
        self._plans_for.pop(port, None)  # it may be of another class of callers now

    def detach(self, port: Port) -> None:
        """Forget a closed port: fail the requests that wait on it with `PeerLost`, cancel those it made.

        It costs what the port had, and for each who has ever asked it, a look at what that one has in flight.
        """
        for known in (port.id, CLIENT_BASE | port.token):
            if self._by_id.get(known) is port:
                self._unreachable(known)
        self._plans_for.pop(port, None)
        for sequence, callee in list(port.outstanding.items()):
            self._cancel(port, sequence, callee)
        port.outstanding.clear()
        for callee in port.callees:
            callee.callers.discard(port)
        for caller in port.callers:
            caller.callees.discard(port)
            waiting = [
                sequence
                for sequence, callee in caller.outstanding.items()
                if callee is port or (type(callee) is set and port in callee)
            ]
            for sequence in waiting:
                error = PeerLost(
                    f"{named(port.id, self.table)} went away while the request was in flight",
                    peer=str(ServiceId(port.id)), reason="its connection to the router ended",
                )  # fmt: skip
                self._answered(caller, sequence, port)
                self.refuse(caller, sequence, error, source=port.id)
        port.callees = port.callers = NO_PORTS

    def _unreachable(self, port_id: int) -> None:
        """Nobody is answered under this id any more, or another one than before."""
        self._by_id.pop(port_id, None)
        for plans in (self._plans, *self._plans_of.values()):
            for answer in ANSWER_ROUTES:
                plans.pop(answer | port_id << 32, None)

    def _acquaint(self, caller: Port, callee: Port) -> set[Port]:
        """`caller` asks `callee` for the first time; returns all whom it has asked. So it is known at the end of either who may
        wait for what, at no cost per request."""
        if self._by_id.get(caller.id) is not caller:
            return caller.callees  # it was closed by a frame of the same data; nobody waits
        for port in (caller, callee):
            if port.callers is NO_PORTS:
                port.callers, port.callees = set(), set()
        caller.callees.add(callee)
        callee.callers.add(caller)
        return caller.callees

    def digests(self) -> bytes:
        """The table's digests per group, packed for a PONG; empty while nothing is routed."""
        version, packed = self._digests
        if version != self.table.version:
            packed = codec.pack_value(self.table.digests()) if self.routing else b""
            self._digests = (self.table.version, packed)
        return packed

    # --- the loop ---------------------------------------------------------------------------------------------

    def receive(self, port: Port, data: bytes) -> int:
        """Route or deliver every complete frame at the start of `data`; returns the offset behind the last.

        Raises `FrameTooLarge` or `ProtocolError` at a frame that cannot be right: those before it have been treated, and
        the stream must be closed.
        """
        pos = 0 if self.routing and not port.delivers else Delivery.receive(self, port, data)
        plans = self._plans
        if self._plans_version != self.table.version:
            plans = self._current_plans(port)
        elif self.access is not None:
            plans = self._plans_for.get(port) or self._current_plans(port)
        unpack = HEADER.unpack_from
        limit = port.frame_limit
        me = port.id
        routing = self.routing
        outstanding = port.outstanding
        callees = port.callees
        size = len(data)
        last = size - HEADER_SIZE
        run = frames = run_frames = 0
        ahead = size - _SCATTER_BYTES
        to: Port | None = None  # whom the frames from `run` to `pos` go to
        known = -1  # the route that mode, where, count and care belong to
        mode, count, care = LOCAL, 0, PLAIN
        where: Any = None
        try:
            while pos <= last:
                length, route, key, source, sequence = unpack(data, pos)
                end = pos + HEADER_SIZE + length
                if end > size or length > limit:
                    check_header(length, route, limit)
                    break
                if route != known:
                    plan = plans.get(route)
                    if plan is None:
                        plan = self._plan(route, port, plans)
                    mode, where, count, care = plan
                    known = route
                if care and length < META_SIZE:
                    check_header(length, route, limit)
                if mode == LOCAL:
                    if to is not None:
                        self._forward(port, to, data, run, pos, frames - run_frames)
                        to = None
                    frames += 1
                    start, pos = pos + HEADER_SIZE, end
                    port.deliver(route, key, me if routing else source, sequence, data, start, end)
                    if self._plans_version != self.table.version:  # it was a registration, or closed a port
                        plans = self._current_plans(port)
                    known = -1  # its plan may be another now
                    me = port.id
                    callees = port.callees
                    continue
                if source != me:
                    data = _stamp(port, data, pos, source)
                    continue
                if mode == DIRECT:
                    goal = where
                elif mode == HASH:
                    goal = where[key % count]
                elif mode == RANDOM:
                    goal = where[int(self.chance() * count)]
                else:
                    if to is not None:
                        self._forward(port, to, data, run, pos, frames - run_frames)
                        to = None
                    frames += 1
                    frame = data[pos:end]
                    pos = end
                    if mode == ANSWER:
                        self._answer(port, where, route, sequence, frame)
                    elif mode == VOUCHED:
                        self._vouched(port, where, route, key, sequence, frame)
                    else:
                        self._broadcast(port, where, route, sequence, frame)
                    continue
                if care == TRACKED:
                    credit = goal.credit - (pos - run if to is goal else 0)
                    refusal = None
                    if end - pos > credit or sequence in outstanding or len(outstanding) >= MAX_OUTSTANDING:
                        refusal = why_refused(self.table, port, goal, route, sequence, end - pos, credit)
                    if refusal is not None:
                        if to is not None:
                            self._forward(port, to, data, run, pos, frames - run_frames)
                            to = None
                        frames += 1
                        self._not_forwarded(port, goal, route, sequence, end - pos, credit, refusal)
                        pos = end
                        continue
                    if goal not in callees:
                        callees = self._acquaint(port, goal)
                    outstanding[sequence] = goal
                if goal is not to:
                    if to is not None:
                        self._forward(port, to, data, run, pos, frames - run_frames)
                        if pos < ahead and frames - run_frames == 1 and care == PLAIN and mode <= RANDOM:
                            self._forward(port, goal, data, pos, end, 1)
                            to = None
                            taken = frames + 1
                            pos, frames = self._scatter(port, data, end, taken)
                            if frames - taken < _SCATTER_FRAMES:
                                ahead = 0
                            continue
                    to, run, run_frames = goal, pos, frames
                frames += 1
                pos = end
        finally:
            if to is not None:
                self._forward(port, to, data, run, pos, frames - run_frames)
            port.frames_in += frames
        return pos

    def _scatter(self, port: Port, data: bytes, pos: int, frames: int) -> tuple[int, int]:
        """The loop where receivers alternate: from `pos` on, each frame is a piece of its own for one receiver; what a receiver
        got is counted when it is put together. Ends at the first frame that takes more thought than that, at
        the latest behind the last complete one; returns where that is, and `frames` plus how many there were.
        """
        unpack = HEADER.unpack_from
        limit = port.frame_limit
        me = port.id
        size = len(data)
        last = size - HEADER_SIZE
        pieces: dict[Port, list[bytes]] = {}
        direct: dict[int, Callable[[bytes], None]] = {}
        hashed: dict[int, tuple[Sequence[int], list[Callable[[bytes], None]]]] = {}
        drawn: dict[int, list[Callable[[bytes], None]]] = {}
        plans = self._current_plans(port)
        while pos <= last:
            length, route, key, source, _ = unpack(data, pos)
            end = pos + HEADER_SIZE + length
            if end > size or length > limit or source != me:
                break
            put = direct.get(route)
            if put is None:
                if (way := hashed.get(route)) is not None:
                    owners, heaps = way
                    put = heaps[owners[key % BUCKETS]]
                elif (puts := drawn.get(route)) is not None:
                    put = puts[int(self.chance() * len(puts))]
                else:
                    try:
                        mode, where, _, care = plans.get(route) or self._plan(route, port, plans)
                    except ProtocolError:
                        break  # `receive` finds it as well
                    if care != PLAIN or mode > RANDOM:
                        break
                    if mode == DIRECT:
                        direct[route] = pieces.setdefault(where, []).append
                        continue
                    owners, ports = (), where
                    if mode == HASH:
                        owners, ports = self._owners.get(route) or self._owners.setdefault(
                            route, _numbered(where)
                        )
                    if len(ports) > (size - pos) // HEADER_SIZE:
                        break  # a group may have more members than there are frames
                    heaps = [pieces.setdefault(to, []).append for to in ports]
                    if mode == HASH:
                        hashed[route] = owners, heaps
                    else:
                        drawn[route] = heaps
                    continue
            put(data[pos:end])
            frames += 1
            pos = end
        for to, parts in pieces.items():
            if parts:
                block = b"".join(parts)
                self._forward(port, to, block, 0, len(block), len(parts))
        return pos, frames

    def _forward(self, port: Port, to: Port, data: bytes, start: int, end: int, frames: int) -> None:
        size = end - start
        if size > to.credit and type(to) is not Sink:
            to.flush()  # the socket may take what waits, and make room
        if size > to.credit:
            if type(to) is Sink:
                self._nobody(port, to, HEADER.unpack_from(data, start)[1], frames)
            elif frames == 1:
                self._crowded_out(port, to, data, start, end)
            else:
                self._forward_singly(port, to, data, start, end)
            return
        to.credit -= size
        to.frames_out += frames
        out = to.out
        if not out:
            self.dirty.append(to)
        out.append(data[start:end])

    def _forward_singly(self, port: Port, to: Port, data: bytes, start: int, end: int) -> None:
        """A run for which there is not enough room: each of its frames that fits, in order."""
        while start < end:
            behind = start + HEADER_SIZE + int.from_bytes(data[start : start + 4], "little")
            self._forward(port, to, data, start, behind, 1)
            start = behind

    def _crowded_out(self, port: Port, to: Port, data: bytes, start: int, end: int) -> None:
        """One frame for which there is no room: its sender is told, or the loss counted."""
        _, route, _, _, sequence = HEADER.unpack_from(data, start)
        if port.outstanding.get(sequence) is to and route >> 8 & FLAG_REQUEST:
            del port.outstanding[sequence]
            self.refuse(port, sequence, no_credit(self.table, to, end - start, to.credit))
        else:
            port.count_lost(OVERLOADED, route)
        to.note((CROWDED, end - start))

    def _nobody(self, port: Port, to: Sink, route: int, frames: int) -> None:
        """So many frames reach nobody: count them, and tell whom they were not allowed to reach."""
        port.count_lost(to.reason, route, frames)
        if to.forbidden is not None:
            self.refused(to.forbidden, frames)

    def _send(self, to: Port, frame: bytes) -> None:
        to.credit -= len(frame)
        to.reserved += len(frame)
        to.frames_out += 1
        if not to.out:
            self.dirty.append(to)
        to.out.append(frame)

    # --- decisions, once per route ----------------------------------------------------------------------------

    def _current_plans(self, port: Port) -> dict[int, Plan]:
        """The plans for what comes from this port, as the table stands: one look-up per chunk, none per frame."""
        if self._plans_version != self.table.version:
            self._plans.clear()
            self._plans_of.clear()
            self._plans_for.clear()
            self._owners.clear()
            self._plans_version = self.table.version
        if self.access is None:
            return self._plans
        plans = self._plans_for.get(port)
        if plans is None:
            plans = self._plans_for[port] = self._plans_of.setdefault(self.caller_class(port), {})
        return plans

    def _plan(self, route: int, port: Port, plans: dict[int, Plan]) -> Plan:
        """How frames of this route from this port are treated; in `plans` until the table changes."""
        if len(plans) >= MAX_PLANS:
            plans.clear()
        caller = "" if self.access is None else self.caller_class(port)
        plan = plans[route] = make_plan(route, self.table, self._by_id, self.access, caller)
        return plan

    # --- the rarer kinds --------------------------------------------------------------------------------------

    def _vouched(self, port: Port, plan: Plan, route: int, key: int, sequence: int, frame: bytes) -> None:
        """A frame with an epoch goes on as any other, if its sender is that group's master now."""
        stale = why_stale(self.table, port, frame)
        if stale is not None:
            if route >> 8 & (FLAG_REQUEST | FLAG_COUNT):
                self.refuse(port, sequence, stale)
            else:
                port.count_lost(STALE, route)
            return
        mode, where, count, care = plan
        if mode == BROADCAST:
            self._broadcast(port, where, route, sequence, frame)
            return
        goal = where if mode == DIRECT else where[key % count if mode == HASH else int(self.chance() * count)]
        size = len(frame)
        if care == TRACKED:
            refusal = why_refused(self.table, port, goal, route, sequence, size, goal.credit)
            if refusal is not None:
                self._not_forwarded(port, goal, route, sequence, size, goal.credit, refusal)
                return
            if goal not in port.callees:
                self._acquaint(port, goal)
            port.outstanding[sequence] = goal
        self._forward(port, goal, frame, 0, size, 1)

    def _not_forwarded(
        self, port: Port, goal: Port, route: int, sequence: int, size: int, credit: int, refusal: LuabusError
    ) -> None:
        """A request that cannot go on: its sender is told."""
        if type(goal) is not Sink:
            if size > credit:
                goal.note((CROWDED, size))
        elif goal.forbidden is not None:
            self._nobody(port, goal, route, 1)
        self.refuse(port, sequence, refusal)

    def _broadcast(
        self, port: Port, members: Sequence[Port], route: int, sequence: int, frame: bytes
    ) -> None:
        flags = route >> 8 & 0xFF
        if flags & FLAG_REQUEST:
            refusal = why_refused(self.table, port, port, route, sequence, 0, port.credit)
            if refusal is not None:
                self.refuse(port, sequence, refusal)
                return
        reached: list[Port] = []
        lost = 0
        at_once = max(1, BURST // len(frame))
        for first in range(0, len(members), at_once):
            some = members[first : first + at_once]
            lost += _spread(port, some, frame, reached, self.dirty)
            self.gathered += len(some) * len(frame)
            if self.gathered > BURST:
                self.flush()
        if lost:
            port.count_lost(OVERLOADED, route, lost)
        if not flags & (FLAG_REQUEST | FLAG_COUNT):
            if not reached and not lost:
                port.count_lost(NO_ROUTE, route)
            return
        if flags & FLAG_REQUEST and reached:
            port.outstanding[sequence] = set(reached)
            for member in reached:
                if member not in port.callees:
                    self._acquaint(port, member)
        body = codec.pack_value([member.id for member in reached])
        header = HEADER.pack(
            len(body), make_route(Kind.REACHED, destination=port.id), len(reached), 0, sequence
        )
        self._send(port, header + body)

    def _answer(self, port: Port, caller: Port | None, route: int, sequence: int, frame: bytes) -> None:
        """A reply goes through only from the one who has the request, to the one who made it, once."""
        if caller is None or not self._answered(caller, sequence, port):
            port.count_lost(LATE, route)
            return
        # An answer is owed to someone who waits, so it passes also when forwarded messages fill the buffer.
        if caller.reserved + len(frame) > caller.kept_limit:
            who = named(caller.id, self.table)
            text = f"{who} does not read: {caller.reserved} bytes of answers wait for it already"
            error = Overloaded(
                text, what="bytes of answers", limit=caller.kept_limit, current=caller.reserved
            )
            self.refuse(caller, sequence, error, source=port.id)
            return
        if route & 0xFF == _ERROR:
            port.note(frame if len(frame) <= _ERROR_KEPT else f"answered with an error of {len(frame)} bytes")
        self._send(caller, frame)

    def answer(self, port: Port, route: int, sequence: int, body: bytes) -> None:
        """From one that was registered although this process opened the connection, or a late one, which is for nobody."""
        caller = self._by_id.get(route >> 32)
        if caller is not None and sequence in caller.outstanding:
            self._answer(
                port, caller, route, sequence, HEADER.pack(len(body), route, 0, port.id, sequence) + body
            )

    def _answered(self, caller: Port, sequence: int, callee: Port) -> bool:
        waited_for = caller.outstanding.get(sequence)
        if waited_for is callee:
            del caller.outstanding[sequence]
            return True
        if type(waited_for) is set and callee in waited_for:
            waited_for.discard(callee)
            if not waited_for:
                del caller.outstanding[sequence]
            return True
        return False

    def cancel(self, port: Port, sequence: int) -> None:
        """`port` awaits the answer to its request `sequence` no longer: tell whoever has it."""
        callee = port.outstanding.pop(sequence, None)
        if callee is not None:
            self._cancel(port, sequence, callee)

    def _cancel(self, port: Port, sequence: int, callee: Port | set[Port]) -> None:
        frame = HEADER.pack(0, make_route(Kind.CANCEL), 0, port.id, sequence)
        for each in callee if isinstance(callee, set) else (callee,):
            self._send(each, frame)

    def refuse(self, port: Port, sequence: int, error: LuabusError, source: int = 0) -> None:
        """Answer a request of `port` with `error`, at once."""
        port.note(f"{type(error).__name__}: {error}")
        body = codec.pack_value(error.to_wire())
        header = HEADER.pack(len(body), make_route(Kind.ERROR, destination=port.id), 0, source, sequence)
        self._send(port, header + body)


def _spread(port: Port, members: Sequence[Port], frame: bytes, reached: list[Port], dirty: list[Port]) -> int:
    """A frame to all of these who have room for it, who are then `reached`; returns how many have none."""
    lost = 0
    size = len(frame)
    for member in members:
        if member is port:
            continue
        if size > member.credit:
            member.flush()  # as in `_forward`
        if size > member.credit:
            lost += 1
            member.note((CROWDED, size))
            continue
        member.credit -= size
        member.frames_out += 1
        if not member.out:
            dirty.append(member)
        member.out.append(frame)
        reached.append(member)
    return lost


def _numbered(where: tuple[Port, ...]) -> tuple[tuple[int, ...], tuple[Port, ...]]:
    """Whom the buckets go to, by numbers, and the ports that these are."""
    numbers = {port: number for number, port in enumerate(dict.fromkeys(where))}
    return tuple(map(numbers.__getitem__, where)), tuple(numbers)


def _stamp(port: Port, data: bytes, start: int, source: int) -> bytes:
    """Write the port's id into the source of all complete frames from `start` on that leave it open.

    Open is 0, or the client id that the handshake gave: a stream that was registered by hand afterwards
    (`SocketMgr.register`) does not know of its new id.
    """
    given = CLIENT_BASE | port.token
    if source not in (0, given):
        raise ProtocolError(
            f"a frame claims to come from {ServiceId(source)}, but this connection is {ServiceId(port.id)}"
        )
    stamped = bytearray(data)
    mark = port.id.to_bytes(4, "little")
    open_marks = (b"\0\0\0\0", given.to_bytes(4, "little"))
    pos = start
    while pos <= len(data) - HEADER_SIZE:
        if stamped[pos + 16 : pos + 20] in open_marks:
            stamped[pos + 16 : pos + 20] = mark
        pos += HEADER_SIZE + int.from_bytes(stamped[pos : pos + 4], "little")
    return bytes(stamped)
