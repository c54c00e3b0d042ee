"""A router: a socket manager that registers whoever joins, tells everybody who is where, and shows what it knows.

All forwarding is done by the switch underneath; this is the slow path: joining, masters, changes by hand, snapshots.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import ipaddress
import logging
import os
import time
from collections.abc import Mapping
from typing import Any

from luabus.errors import (
    BadArguments,
    ConfigError,
    IdInUse,
    LuabusError,
    Overloaded,
    PeerLost,
    Refused,
    StaleEpoch,
)
from luabus.ids import CLIENT_BASE, MAX_INSTANCE, ROUTER_GROUP, ServiceId
from luabus.limits import (
    DEFAULT_BUS_BUFFER,
    DEFAULT_FRAME_LIMIT,
    DEFAULT_PORT,
    DRAIN_TIMEOUT_S,
    HEARTBEAT_S,
    HEARTBEATS_MISSED,
)
from luabus.messages import Message
from luabus.protocol.codec import pack_call
from luabus.protocol.frames import META_SIZE
from luabus.router.counters import Counters
from luabus.routing.last_error import in_words
from luabus.routing.views import full_group, public_group
from luabus.rpc.context import caller
from luabus.rpc.dispatcher import Dispatcher
from luabus.transport.manager import Listener, SocketMgr
from luabus.transport.stream import CALL_ROUTE, Stream
from luabus.version import VERSION

log = logging.getLogger("luabus.router")

_NAME_LENGTH = 100
_PAGE = 250
"""Rows of one answer: it is short enough for a frame, and does not hold up what is forwarded."""
_ROW_BYTES = 2048
"""Bytes of a row at most, packed."""
_DRAIN_LOOK_S = 0.02
"""Requests in flight are kept by the per-frame loop, which must not pay for an event: so a drain looks instead."""


class Router:
    """One router. `name` is `router.N`; `slots` maps group names to (group, number of hash slots), vacant at start.

    `frame_limit` and `buffer` in bytes: the longest message, and what is kept for one connection that does not read.
    Raises `ConfigError` for a host beyond loopback unless `allow_plaintext`: there is no TLS, so everybody on the way could read.
    """

    def __init__(
        self,
        name: str = "router.1",
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        secret: bytes | str | None = None,
        slots: Mapping[str, tuple[int, int]] | None = None,
        max_connections: int = 65_536,
        frame_limit: int = DEFAULT_FRAME_LIMIT,
        buffer: int = DEFAULT_BUS_BUFFER,
        heartbeat_s: float = HEARTBEAT_S,
        allow_plaintext: bool = False,
    ) -> None:
        if not _is_loopback(host) and not allow_plaintext:
            raise ConfigError(
                f"a router at {host} would be reachable beyond this machine without encryption;"
                " say so (allow_plaintext) or use 127.0.0.1",
                key="routers.host",
            )
        self.name = name
        self.host = host
        self.port = port
        self.frame_limit = frame_limit
        self.buffer = max(buffer, frame_limit + 64)
        self.mgr = SocketMgr(max_connections, secret=secret)
        self.mgr.switch.routing = True
        self.mgr.on_opened = self._opened
        self.api = Dispatcher(name)
        self.draining = False
        self._heartbeat_s = heartbeat_s
        self._started = time.monotonic()
        self._incarnation = time.time_ns()
        self._listener: Listener | None = None
        self._watchers: set[Stream] = set()
        self._announced: dict[int, dict[str, Any]] = {}
        self._announced_full: dict[int, bytes] = {}
        self._announcing = False
        self._names: dict[int, str] = {}
        self._records = Counters(name)
        for group_name, (group, count) in (slots or {}).items():
            self.mgr.switch.table.describe(group, name=group_name)
            self._names[group] = group_name
            if count:
                self.mgr.switch.table.configure_slots(group, count)
        for method in (
            self.join, self.leave, self.master, self.resign, self.report, self.prefer, self.flush, self.room,
            self.watch, self.register, self.close, self.routes, self.connections, self.stats,
        ):  # fmt: skip
            self.api.rpc(method, name=f"luabus.{method.__name__}")

    # --- life -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen. `port` is the real one afterwards. Raises `OSError` when the address is in use."""
        self._listener = self.mgr.listen(self.host, self.port, backlog=1024)
        self.port = self._listener.port
        self._listener.on_accept = self._accepted
        log.info("%s listens at %s:%d", self.name, self.host, self.port)

    async def stop(self, drain_s: float = DRAIN_TIMEOUT_S) -> None:
        """Say so to all; let requests in flight finish for at most `drain_s` seconds; then go."""
        self.draining = True
        if self._listener is not None:
            self._listener.close()
        for stream in self._open_streams():
            self._tell(stream, "luabus.draining", self.name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                while self.api.running or any(  # noqa: ASYNC110
                    s.outstanding or s.preferred_by_peer for s in self._open_streams()
                ):
                    await asyncio.sleep(_DRAIN_LOOK_S)
        await self.api.close()
        await self.mgr.close()

    async def __aenter__(self) -> Router:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop(0.0)

    # --- what services call -----------------------------------------------------------------------------------

    def join(
        self,
        service_id: int,
        name: str,
        incarnation: int,
        slots: int | None = None,
        mode: str = "",
        epochs: Mapping[int, int] | None = None,
    ) -> dict[str, Any]:
        """Register the calling connection as `service_id`. Raises `IdInUse` when a newer incarnation lives.

        `epochs`: the highest that the caller knows per group, so that a router which starts anew refuses what it refused before.
        """
        stream = caller().stream
        _check_join(name, incarnation, mode, slots)
        target = ServiceId.parse_service(service_id)
        if target.group == ROUTER_GROUP:
            raise Refused(f"group {ROUTER_GROUP} belongs to the routers")
        if self.draining:
            raise Refused(f"{self.name} is stopping")
        table = self.mgr.switch.table
        former = table.put(target, stream, incarnation=incarnation)
        if table.describe(target.group, name=name, mode=mode):
            self._names[target.group] = table.group(target.group).name
        if slots is not None:
            table.configure_slots(target.group, slots)
        for group, epoch in (epochs or {}).items():
            table.know_epoch(group, epoch)
        self.mgr.switch.attach(stream, target)
        self._expect_heartbeats(stream)
        stream.name = target.named(self._names)
        if isinstance(former, Stream):
            reason = IdInUse(
                f"{target} was registered by a newer process",
                service_id=target,
                incarnation=incarnation,
                holder=incarnation,
            )
            log.warning(
                "%s: %s comes from a newer process; the old connection %d is closed",
                self.name,
                target,
                former.token,
            )
            former.dismiss(reason)
        self._changed()
        return {"router": self.name, "token": stream.token}

    def leave(self) -> None:
        """The calling connection wants no new traffic; what it was sent before arrives before this answer."""
        self.mgr.switch.table.lost(caller().stream, keep_slots=False)
        self._changed()

    def master(self, epoch: int) -> None:
        """The caller holds its group's lease with `epoch`. Raises `StaleEpoch`; two ids with one epoch raise an alarm too.

        A lower epoch is a master of the past, such as one that was frozen: refused, and no more than that.
        """
        stream = caller().stream
        service_id = self._registered(stream)
        _check_number("epoch", epoch, 1, 0xFFFF_FFFF)
        try:
            news = self.mgr.switch.table.claim(service_id, epoch)
        except StaleEpoch as error:
            if error.epoch == error.highest:
                self._records.alarm(error.reported or Message.verbatim(str(error)), "epoch")
            else:
                log.warning("%s: %s", self.name, error)
            raise
        if news:
            log.info("%s: %s is master with epoch %d", self.name, stream.name, epoch)
            self._changed()

    def resign(self, epoch: int) -> None:
        """The caller is master no longer."""
        if self.mgr.switch.table.resign(self._registered(caller().stream), epoch):
            self._changed()

    def report(self, problem: Any) -> None:
        """The caller says what is wrong with itself, a message or a text: an alarm until "" comes, or it is gone."""
        self._records.problem(caller().stream, problem)

    def watch(self) -> None:
        """From now on `luabus.group` calls with each group that changes; before the answer, with all there are.

        They come by one way, in order: a list in the answer could be read after a change that was told later.
        """
        self._announce()
        stream = caller().stream
        self._watchers.add(stream)
        for _, body in sorted(self._announced_full.items()):
            self._say(stream, body)

    def prefer(self, preferred: bool) -> None:
        """The caller forwards through this router from now on, or no longer."""
        caller().stream.preferred_by_peer = preferred

    async def flush(self) -> None:
        """Answer when everybody has received what was forwarded to them before: for an orderly change of router.

        One who does not answer within a second does not hold it up: it is about to be lost.
        """
        me = caller().stream
        waiting = [
            stream.heard(stream.ping())
            for stream in self._open_streams()
            if stream is not me and stream.frames_out
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await asyncio.gather(*waiting)
        me.preferred_by_peer = False

    async def room(self, route: int, key: int) -> None:
        """Answer when those whom a message on this route would reach have taken most of what waits for them; not later for one
        that takes nothing. For senders that await (`pace`)."""
        for stream in self.mgr.switch.receivers(route, key):
            while isinstance(stream, Stream) and not self.draining and await stream.wait_writable():
                pass

    # --- by hand ----------------------------------------------------------------------------------------------

    def register(
        self, service_id: int | str, token: int | str | None, is_master: bool = False
    ) -> dict[str, Any]:
        """Change the table by hand: a live entry over the connection `token`, 0 a vacant slot, None removes the entry.

        "own" is the connection that joined as this id. Raises `Refused`: an unknown token or entry, or `is_master` in a group
        that elects its master by lease.
        """
        table = self.mgr.switch.table
        groups = {name: number for number, name in self._names.items()}
        target = ServiceId.parse_service(service_id, groups)
        label = target.named(self._names)
        found = table.groups.get(target.group)
        if is_master and found is not None and found.elected:
            raise Refused(
                f"group {found.name or target.group} elects its master by lease; use promote {label}"
            )
        if is_master and not token:
            raise Refused(f"{label} cannot be master without a connection; give its token")
        if token is None:
            if not table.remove(target):
                raise Refused(f"{self.name} has no entry for {label}")
        elif token == 0:
            table.vacate(target)
        else:
            stream = self._by_token(target, label, token)
            table.put(target, stream, incarnation=self._incarnation_of(target))
            if is_master:
                table.set_master(target)
            elif found is not None and found.master == target and not found.elected:
                table.clear_master(target.group)
        log.warning("%s: %s registered by hand: token %r, master %s", self.name, label, token, is_master)
        self._changed()
        return full_group(table.group(target.group))

    def close(self, token: int) -> str:
        """End one connection; returns its name. Raises `Refused` for an unknown token."""
        stream = self.mgr.streams.get(token)
        if stream is None:
            raise Refused(f"{self.name} has no connection with token {token}")
        stream.dismiss(Refused("closed by an administrator"))
        self._records.note_closed(stream, "closed by an administrator")
        return stream.name or str(ServiceId(stream.id))

    def _by_token(self, target: ServiceId, label: str, token: int | str) -> Stream:
        if token == "own":
            for stream in self.mgr.streams.values():
                if stream.id == target and stream.is_open:
                    return stream
            raise Refused(f"no connection at {self.name} has joined as {label}")
        stream_or_none = self.mgr.streams.get(token) if isinstance(token, int) else None
        if stream_or_none is None or not stream_or_none.is_open:
            known = ", ".join(f"{s.token} ({self._label(s)})" for s in self._open_streams()[:20])
            raise Refused(f"{self.name} has no connection with token {token!r}; it has: {known or 'none'}")
        return stream_or_none

    def _incarnation_of(self, target: int) -> int:
        entry = self.mgr.switch.table.group(target >> 16).entries.get(target)
        return entry.incarnation if entry else 0

    # --- snapshots --------------------------------------------------------------------------------------------

    def routes(self) -> dict[str, Any]:
        """The routing table, as one element of `routers` in the HTTP API's routes."""
        table = self.mgr.switch.table
        return {
            "router": self.name,
            "digest": f"{table.digest():08x}",
            "groups": [full_group(group) for _, group in sorted(table.groups.items())],
        }

    def connections(self, after: int = 0, limit: int = _PAGE) -> list[dict[str, Any]]:
        """One row per open connection, as in the HTTP API, by token: at most `limit`, and at most 250, with tokens above `after`.
        None are left when the answer is empty.
        """
        now = time.monotonic()
        count = min(limit, _PAGE, max(1, self.frame_limit // _ROW_BYTES))
        following = (stream for stream in self._open_streams() if stream.token > after)
        streams = heapq.nsmallest(count, following, key=lambda stream: stream.token)
        return [self._row(stream, now) for stream in streams]

    def _row(self, stream: Stream, now: float) -> dict[str, Any]:
        return {
            "router": self.name,
            "token": stream.token,
            "service_id": str(ServiceId(stream.id)),
            "name": self._label(stream),
            "peer": f"{stream.ip}:{stream.peer[1]}",
            "rtt_ms": stream.reported_rtt_us / 1000,
            "idle_s": round(now - stream.last_received, 3),
            "pending_bytes": max(0, stream.send_limit - stream.room),
            "messages_in": stream.frames_in,
            "messages_out": stream.frames_out,
            "bytes_in": stream.bytes_in,
            "bytes_out": stream.bytes_out,
            "connected_s": round(now - stream.connected_at, 3),
            "preferred": stream.preferred_by_peer,
            "requests_in_flight": len(stream.outstanding),
            "undeliverable": dict(stream.undeliverable),
            "last_error": in_words(stream.last_error),
            "last_error_at": stream.last_error_at or None,
        }

    def stats(self) -> dict[str, Any]:
        """Totals since the start, alarms, and what ended recently."""
        streams = self._open_streams()
        return {
            "router": self.name,
            "address": f"{self.host}:{self.port}",
            "pid": os.getpid(),
            "version": VERSION,
            "uptime_s": round(time.monotonic() - self._started, 3),
            "cpu_s": round(time.process_time(), 3),
            "connections": len(streams),
            "refused": self.mgr.refused,
            **self._records.totals(streams),
            "requests_in_flight": sum(len(s.outstanding) for s in streams),
            "draining": self.draining,
            "digest": f"{self.mgr.switch.table.digest():08x}",
            "alarms": self._records.alarms(self._names),
            "closed": list(self._records.closed),
        }

    # --- streams ----------------------------------------------------------------------------------------------

    def _accepted(self, stream: Stream) -> None:
        stream.frame_limit = self.frame_limit
        stream.set_send_buffer_size(self.buffer)
        stream.receiver = self.api
        stream.on_close = self._gone
        stream.on_ping = self._heard_ping

    def _opened(self, stream: Stream) -> None:
        stream.body_limit = self.frame_limit - META_SIZE  # a bus takes what its router takes
        groups = [public_group(group) for group in self.mgr.switch.table.groups.values()]
        welcome = {
            "router": self.name,
            "incarnation": self._incarnation,
            "frame_limit": self.frame_limit,
            "groups": groups,
        }
        self._tell(stream, "luabus.welcome", welcome)
        if self.draining:
            self._tell(stream, "luabus.draining", self.name)

    def _heard_ping(self, stream: Stream, body: bytes) -> None:
        """A service or client lives; perhaps it says that other routers have other tables."""
        self._expect_heartbeats(stream)
        if body:
            self._records.differences(body, self.mgr.switch.table.digests())

    def _expect_heartbeats(self, stream: Stream) -> None:
        """Who joins or says PING has heartbeats, and is lost when they stop. A plain stream may be silent for ever."""
        if not stream.has_timeout:
            stream.set_timeout(int(self._heartbeat_s * (HEARTBEATS_MISSED + 0.5) * 1000))

    def _gone(self, stream: Stream, error: LuabusError | None) -> None:
        self._watchers.discard(stream)
        self._records.gone(stream)
        if error is not None:
            self._records.note_closed(stream, (isinstance(error, PeerLost) and error.reason) or str(error))
            if stream.id < CLIENT_BASE:
                log.info("%s: %s is gone: %s", self.name, self._label(stream), error)
        if self.mgr.switch.table.lost(stream):
            self._changed()

    def _open_streams(self) -> list[Stream]:
        return [stream for stream in self.mgr.streams.values() if stream.is_open]

    def _label(self, stream: Stream) -> str:
        return stream.name or str(ServiceId(stream.id))

    @staticmethod
    def _registered(stream: Stream) -> ServiceId:
        if stream.id >= CLIENT_BASE:
            raise Refused("only a registered service can be a master; join first")
        return ServiceId(stream.id)

    # --- telling ----------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        """The table changed: tell everybody, once per loop iteration."""
        if not self._announcing:
            self._announcing = True
            self.mgr.loop.call_soon(self._announce)

    def _announce(self) -> None:
        self._announcing = False
        news: list[bytes] = []
        full_news: list[bytes] = []
        for number, group in self.mgr.switch.table.groups.items():
            public = public_group(group)
            if self._announced.get(number) != public:
                self._announced[number] = public
                news.append(pack_call("luabus.names", (public,)))
            full = pack_call("luabus.group", (self.name, full_group(group)))
            if self._announced_full.get(number) != full:
                self._announced_full[number] = full
                full_news.append(full)
        for stream in self._open_streams():
            for body in [*news, *full_news] if stream in self._watchers else news:
                self._say(stream, body)

    def _tell(self, stream: Stream, method: str, *args: Any) -> None:
        self._say(stream, pack_call(method, args))

    @staticmethod
    def _say(stream: Stream, body: bytes) -> None:
        """Our own words pass also when forwarded messages fill the buffer; one that owes us so much reading is cut off."""
        if stream.owed > stream.send_limit:
            text = f"{stream.owed} bytes of answers and announcements wait for it"
            stream.dismiss(Overloaded(text, what="bytes owed", limit=stream.send_limit, current=stream.owed))
        else:
            stream.send_owed(CALL_ROUTE, body=body)


def _check_join(name: str, incarnation: int, mode: str, slots: int | None) -> None:
    """What a peer says goes into what everybody is told: refuse another type before it does harm."""
    if type(name) is not str or type(mode) is not str or len(name) > _NAME_LENGTH or len(mode) > _NAME_LENGTH:
        raise BadArguments(
            f"name and mode are texts of at most {_NAME_LENGTH} characters", method="luabus.join"
        )
    _check_number("incarnation", incarnation, 0, (1 << 64) - 1)
    if slots is not None:
        _check_number("slots", slots, 1, MAX_INSTANCE)


def _check_number(what: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise BadArguments(f"{what} is a whole number from {least} to {most}, not {value!r:.40}", path=what)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
