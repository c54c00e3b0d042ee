"""A router: a socket manager that registers whoever joins, tells everybody who is where, and shows what it knows.

All forwarding is done by the switch underneath; this is the slow path: connections come, flow and go, and the process with them.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from luabus import option_checks
from luabus.errors import ConfigError, LuabusError, Overloaded, PeerLost, Refused
from luabus.host_addresses import format_address, is_loopback, parse_peer
from luabus.ids import CLIENT_BASE, ServiceId
from luabus.limits import (
    DEFAULT_BUS_BUFFER,
    DEFAULT_FRAME_LIMIT,
    DEFAULT_PORT,
    DEFAULT_WAITING_LIMIT,
    DRAIN_TIMEOUT_S,
    HEARTBEAT_S,
    HEARTBEATS_MISSED,
    MOMENT_S,
)
from luabus.logs import Log
from luabus.messages import Message
from luabus.protocol.principal import Principal
from luabus.protocol.stream_options import StreamOptions
from luabus.router.announcer import Announcer
from luabus.router.counters import Counters, alarm_row
from luabus.router.flush_rounds import FlushRounds
from luabus.router.registration import Registry
from luabus.router.steering import Steering
from luabus.router.words import word
from luabus.routing.cluster_document import ClusterDocument
from luabus.routing.last_error import in_words
from luabus.routing.next_hop import receivers
from luabus.routing.views import GROUP_ROW_BYTES, GROUP_ROWS, fitting, page_rows, public_group, table_page
from luabus.rpc.context import caller
from luabus.rpc.dispatcher import Dispatcher
from luabus.transport.listener import Listener
from luabus.transport.manager import SocketMgr
from luabus.transport.places import SAY_AGAIN_S
from luabus.transport.security import Security
from luabus.transport.stream import Stream, Subscribers
from luabus.version import VERSION

log = Log("luabus.router")

_DEBUGGED_MS: Final = 86_400_000
"""So long a debugged process may stand still."""

_PAGE = 250
"""Rows of one answer: it is short enough for a frame, and does not hold up what is forwarded."""
_ROW_BYTES = 2048
"""Bytes of a row at most, packed."""
_MOST_AWAITED = 256
"""Answers of this router that one connection may await at once: others have questions, too."""
_DRAIN_LOOK_S = 0.02
"""Requests in flight are kept by the per-frame loop, which must not pay for an event: so a drain looks instead."""


class Router:
    """One router. `name` is `router.N`; `cluster` says which groups there are, and who may call whom.

    `secret_file` instead of `secret`: what it and `secret.next` beside it hold at each connection is accepted. `advertise`: at
    which `HOST:PORT` others reach it beside its own address (NAT, a proxy); connections made to any other are refused.
    In bytes: `frame_limit`, the longest message; `buffer`, what is kept for one connection that does not read; `waiting_limit`,
    what is kept for all of them together.
    Raises `ConfigError` for a host beyond loopback unless `allow_plaintext`: there is no TLS, so everybody on the way could read.
    """

    def __init__(
        self,
        name: str = "router.1",
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        secret: bytes | str | None = None,
        secret_file: str | os.PathLike[str] | None = None,
        advertise: Sequence[str] = (),
        cluster: ClusterDocument | None = None,
        max_connections: int = 65_536,
        frame_limit: int = DEFAULT_FRAME_LIMIT,
        buffer: int = DEFAULT_BUS_BUFFER,
        waiting_limit: int = DEFAULT_WAITING_LIMIT,
        heartbeat_s: float = HEARTBEAT_S,
        allow_plaintext: bool = False,
    ) -> None:
        option_checks.check_name("name", name)
        option_checks.check_name("host", host)
        option_checks.check(
            port=port, max_connections=max_connections, heartbeat_s=heartbeat_s, waiting_limit=waiting_limit
        )
        option_checks.check_paths(secret_file=secret_file)
        if not is_loopback(host) and not allow_plaintext:
            raise ConfigError(
                f"a router at {host} would be reachable beyond this machine without encryption;"
                " say so (allow_plaintext) or use 127.0.0.1",
                key="routers.host",
            )
        security = Security.of_file(secret_file) if secret_file and secret is None else Security.of(secret)
        self.name = name
        self.host = host
        self.port = port
        self.frame_limit = frame_limit
        self.api = Dispatcher(name)
        self.mgr = SocketMgr(
            max_connections,
            security=security._replace(
                principal=Principal("router", name), advertised=_reached_at(advertise)
            ),
            options=StreamOptions.of_bus(frame_limit, buffer),
            subscribers=Subscribers(
                receiver=self.api,
                opened=self._opened,
                closed=self._gone,
                ping=self._heard_ping,
                pong=self._heard_pong,
            ),
            routing=True,
            waiting_limit=waiting_limit,
        )
        self.draining = False
        self._heartbeat_s = heartbeat_s
        self._started = time.monotonic()
        self._incarnation = time.time_ns()
        self._listener: Listener | None = None
        self._preferring: set[Stream] = set()  # those that forward through us
        self._flushes = FlushRounds(lambda: self.mgr.loop, self._open_streams)
        self._counters = Counters(name)
        self._announcer = Announcer(name, self.mgr, self._open_streams, frame_limit)
        self._steering = steering = Steering(name, self.mgr, self._announcer, self._counters)
        self._registry = registry = Registry(
            name,
            self.mgr,
            self._announcer,
            self._counters,
            steering,
            self._expect_heartbeats,
            lambda: self.draining,
        )
        for method in (
            registry.join, registry.leave, registry.stand, registry.master, registry.resign, registry.report, self.debugged,
            self.prefer, self.flush, self.room, self.watch, self.routes, self.stats, steering.forbade,
        ):  # fmt: skip
            self.api.word(word(method), f"luabus.{method.__name__}")
        by_hand: tuple[Callable[..., Any], ...] = (
            registry.register, registry.close, self.connections, steering.configure, steering.promote, steering.ask,
        )  # fmt: skip
        for method in by_hand:
            self.api.word(steering.admins_only(word(method)), f"luabus.{method.__name__}")
        if cluster is not None:
            steering.begin(cluster)

    # --- life -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen. `port` is the real one afterwards. Raises `OSError` when the address is in use, `Refused` a second time."""
        if self._listener is not None:
            raise Refused(
                f"{self.name} {'has been stopped' if self.draining else 'listens already'}; make a new one"
            )
        self._listener = self.mgr.listen(self.host, self.port, backlog=1024)
        self.port = self._listener.port
        log.info("%s listens at %s", self.name, format_address(self.host, self.port))

    async def stop(self, drain_s: float = DRAIN_TIMEOUT_S) -> None:
        """Say so to all; let requests in flight finish for at most `drain_s` seconds; then go."""
        self.draining = True
        if self._listener is not None:
            self._listener.close()
        for stream in self._open_streams():
            self._announcer.tell(stream, "luabus.draining", self.name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                while self._is_needed():  # noqa: ASYNC110
                    await asyncio.sleep(_DRAIN_LOOK_S)
        await self.api.close()
        await self.mgr.close(MOMENT_S)

    def _is_needed(self) -> bool:
        """Calls run here, requests are in flight, or somebody forwards through us."""
        in_flight = any(stream.outstanding for stream in self._open_streams())
        return bool(self.api.running or self._preferring or in_flight)

    async def __aenter__(self) -> Router:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop(0.0)

    # --- by hand ----------------------------------------------------------------------------------------------

    def register(
        self, service_id: int | str, token: int | str | None, is_master: bool = False
    ) -> dict[str, Any]:
        """Change the table: see `Registry.change`."""
        return self._registry.change(service_id, token, is_master)

    def close(self, token: int) -> str:
        """End one connection: see `Registry.close`."""
        return self._registry.close(token)

    # --- flow -------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """From now on `luabus.group` calls with each group that changes; before the answer, with all there are."""
        await self._announcer.watch(caller().stream)

    def debugged(self) -> None:
        """Somebody debugs the caller: it may stand still at a breakpoint for as long as a day, and is lost only when its
        connection ends."""
        caller().stream.set_timeout(_DEBUGGED_MS)

    def prefer(self, preferred: bool) -> None:
        """The caller forwards through this router from now on, or no longer."""
        if preferred:
            self._preferring.add(caller().stream)
        else:
            self._preferring.discard(caller().stream)

    async def flush(self) -> None:
        """Answer when everybody has received what was forwarded to them before: for an orderly change of router.

        One who does not answer within a second does not hold it up: it is about to be lost.
        """
        changing = caller().stream
        await self._flushes.confirm(changing)
        self._preferring.discard(changing)

    async def room(self, route: int, key: int) -> None:
        """Answer when those whom a message on this route would reach have taken most of what waits for them; not later for one
        that takes nothing. For senders that await (`flow_control`). Raises `Overloaded` when the caller awaits too many."""
        asked = self.api.running_for(caller().stream)
        if asked >= _MOST_AWAITED:
            text = f"{asked} answers are awaited by this connection already"
            raise Overloaded(text, what="answers awaited", limit=_MOST_AWAITED, current=asked)
        for stream in receivers(route, key, self.mgr.switch.table):
            while isinstance(stream, Stream) and not self.draining and await stream.wait_writable():
                pass

    # --- snapshots --------------------------------------------------------------------------------------------

    def routes(self, after: int = 0, limit: int = GROUP_ROWS) -> dict[str, Any]:
        """A page of the routing table, as one element of `routers` in the HTTP API's routes: at most `limit` rows, and at most
        1,000, with ids above `after`. `next` is what to give as `after` for the page that follows; None behind the last.
        """
        count = page_rows(limit, GROUP_ROWS, self.frame_limit, GROUP_ROW_BYTES)
        return table_page(self.name, self.mgr.switch.table, after, count)

    def connections(self, after: int = 0, limit: int = _PAGE) -> list[dict[str, Any]]:
        """One row per open connection, as in the HTTP API, by token: at most `limit`, and at most 250, with tokens above `after`.
        None are left when the answer is empty.
        """
        now = time.monotonic()
        count = page_rows(limit, _PAGE, self.frame_limit, _ROW_BYTES)
        following = (stream for stream in self._open_streams() if stream.token > after)
        streams = heapq.nsmallest(count, following, key=lambda stream: stream.token)
        return [self._row(stream, now) for stream in streams]

    def _row(self, stream: Stream, now: float) -> dict[str, Any]:
        return {
            "router": self.name,
            "token": stream.token,
            "service_id": str(ServiceId(stream.id)),
            "name": self._registry.label(stream),
            "peer": format_address(*stream.peer),
            "rtt_ms": stream.reported_rtt_us / 1000,
            "idle_s": round(now - stream.last_received, 3),
            "pending_bytes": max(0, stream.kept_limit - stream.credit),
            "messages_in": stream.frames_in,
            "messages_out": stream.frames_out,
            "bytes_in": stream.bytes_in,
            "bytes_out": stream.bytes_out,
            "connected_s": round(now - stream.connected_at, 3),
            "preferred": stream in self._preferring,
            "requests_in_flight": len(stream.outstanding),
            "undeliverable": dict(stream.undeliverable),
            "last_error": in_words(stream.last_error, self.mgr.switch.table),
            "last_error_at": stream.last_error_at or None,
        }

    def stats(self) -> dict[str, Any]:
        """Totals since the start, alarms, and what ended recently."""
        streams = self._open_streams()
        return {
            "router": self.name,
            "address": format_address(self.host, self.port),
            "pid": os.getpid(),
            "version": VERSION,
            "uptime_s": round(time.monotonic() - self._started, 3),
            "cpu_s": round(time.process_time(), 3),
            "connections": len(streams),
            "refused": self.mgr.places.refused,
            **self._counters.totals(streams),
            "requests_in_flight": sum(len(stream.outstanding) for stream in streams),
            "draining": self.draining,
            "digest": f"{self.mgr.switch.table.digest():08x}",
            "alarms": fitting(
                [*self._counters.alarms(self._registry.names), *self._flood()], self.frame_limit // 3
            ),
            "closed": fitting(reversed(self._counters.closed), self.frame_limit // 3)[::-1],
        }

    def _flood(self) -> list[dict[str, Any]]:
        """An alarm while connections are turned away, and for a minute afterwards."""
        places = self.mgr.places
        ago_s = time.monotonic() - places.refused_at
        if ago_s > SAY_AGAIN_S:
            return []
        full = Message("alarm.connections-turned-away", router=self.name, places=places.most)
        return [alarm_row("connections", full, time.time() - ago_s)]

    # --- streams ----------------------------------------------------------------------------------------------

    def _opened(self, stream: Stream) -> None:
        groups = [public_group(group) for group in self.mgr.switch.table.groups.values()]
        at_once = page_rows(len(groups), len(groups), self.frame_limit, GROUP_ROW_BYTES)
        welcome = {
            "router": self.name,
            "incarnation": self._incarnation,
            "frame_limit": self.frame_limit,
            "groups": groups[:at_once],
        }
        self._announcer.tell(stream, "luabus.welcome", welcome)
        for group in groups[at_once:]:
            self._announcer.tell(stream, "luabus.names", group)
        if self.draining:
            self._announcer.tell(stream, "luabus.draining", self.name)
        self._steering.opened(stream)

    def _heard_ping(self, stream: Stream, body: bytes) -> None:
        """A service or client lives; perhaps it says that other routers have other tables."""
        self._expect_heartbeats(stream)
        if body:
            self._counters.differences(body, self.mgr.switch.table.digests())

    def _heard_pong(self, stream: Stream, body: bytes) -> None:
        self._flushes.heard(stream)

    def _expect_heartbeats(self, stream: Stream) -> None:
        """Who joins or says PING has heartbeats, and is lost when they stop. A plain stream may be silent for ever."""
        if not stream.has_timeout:
            stream.set_timeout(int(self._heartbeat_s * (HEARTBEATS_MISSED + 0.5) * 1000))

    def _gone(self, stream: Stream, error: LuabusError | None) -> None:
        self._preferring.discard(stream)
        self._announcer.forget(stream)
        self._steering.gone(stream)
        self._flushes.forget(stream)
        self._counters.gone(stream)
        if error is not None:
            self._counters.note_closed(stream, (isinstance(error, PeerLost) and error.reason) or str(error))
            if stream.id < CLIENT_BASE:
                log.info("%s: %s is gone: %s", self.name, self._registry.label(stream), error)
        if self.mgr.switch.table.lost(stream):
            self._steering.groups.tidy()
            self._announcer.changed()

    def _open_streams(self) -> list[Stream]:
        return [stream for stream in self.mgr.streams.values() if stream.is_open]


def _reached_at(addresses: Any) -> tuple[str, ...]:
    """Addresses to be reached at, each in its one form. Raises `ConfigError`, also for port 0: nobody can connect to that."""
    texts = option_checks.texts("advertise", addresses)
    try:
        return tuple(format_address(*parse_peer(text)) for text in texts)
    except ConfigError as error:
        raise ConfigError(f"advertise: {error}", key="advertise") from None
