"""`create_socket_mgr`: all streams of a process, and the loop that drives them.

Two ways to use the same objects. Inside a running asyncio loop nothing more is needed. Without one, `mgr.wait(ms)` drives
everything from a main loop of the user's own (a game's frame loop). Which one it is, the first `listen` or `connect` decides.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from luabus import forks, option_checks, tasks
from luabus.descriptors import ListeningSocket
from luabus.errors import NotConnected, Refused
from luabus.host_addresses import format_address
from luabus.ids import ServiceId
from luabus.limits import DEFAULT_WAITING_LIMIT, MOMENT_S, STUCK_TIMEOUT_S
from luabus.logs import Log
from luabus.protocol.handshake import Handshake
from luabus.protocol.stream_options import PLAIN_STREAM, StreamOptions
from luabus.protocol.waiting import Waiting
from luabus.routing.switch import Switch
from luabus.transport.affinity import LoopAffinity
from luabus.transport.channel import Channel
from luabus.transport.connection import descriptor_of
from luabus.transport.connector import Connector, accepted_end
from luabus.transport.guard import callback_failed, is_work
from luabus.transport.listener import Listener
from luabus.transport.loops import new_event_loop, running_loop
from luabus.transport.memory import give_back
from luabus.transport.places import Places
from luabus.transport.security import NO_SECURITY, Security
from luabus.transport.stream import NO_SUBSCRIBERS, Reason, Stream, Subscribers

log = Log("luabus.socket_mgr")

_FREE_S = 1.0


def _ignore(stream: Stream) -> None:
    """Nobody wants to know that a connection stands."""


def create_socket_mgr(max_connections: int, *, secret: bytes | str | None = None) -> SocketMgr:
    """A manager of at most `max_connections` streams, accepted and connected ones together.

    With a `secret` each stream begins with a mutual proof that both ends have it; without one there is no authentication. Who
    connects proves to be a client. Raises `ConfigError` for a secret of fewer than 16 bytes.
    """
    return SocketMgr(max_connections, security=Security.of_stream(secret) or NO_SECURITY)


class SocketMgr:
    """The streams of one process, their tokens, and the routing table between them.

    `options` and `subscribers` are those of each stream that is accepted, and the default of those that connect. `routing`: a
    router from the start, not from the first `register` on. `waiting_limit`: bytes that wait for all who do not read together.
    """

    def __init__(
        self,
        max_connections: int,
        *,
        security: Security = NO_SECURITY,
        options: StreamOptions = PLAIN_STREAM,
        subscribers: Subscribers = NO_SUBSCRIBERS,
        routing: bool = False,
        waiting_limit: int = DEFAULT_WAITING_LIMIT,
    ) -> None:
        option_checks.check(max_connections=max_connections)
        self.max_connections = max_connections
        self.places = Places(max_connections)
        self.security = security
        self.switch = Switch(random.random, routing=routing)
        self.switch.waiting = Waiting(waiting_limit)
        self.switch.waiting.shrunk = self._shrunk
        self.switch.waiting.crowded = self._crowded
        self.streams: dict[int, Stream] = {}
        self.listeners: set[Listener] = set()
        self._options = options
        self._subscribers = subscribers
        self.affinity = LoopAffinity()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._next_token = 0
        self._events = self._events_seen = 0
        self.is_waiting = self._stopping = False
        self._stop: asyncio.Handle | None = None
        self._aborts: dict[asyncio.Transport, asyncio.TimerHandle] = {}
        self._idle: list[asyncio.Future[None]] = []
        self._connector = Connector()
        forks.watch(self)

    # --- what was asked for -----------------------------------------------------------------------------------

    def listen(self, ip: str, port: int, backlog: int = 16) -> Listener:
        """Listen at `ip`:`port` (0 = any free one). Raises `OSError` with the address in it when that is not possible."""
        option_checks.check(port=port, backlog=backlog)
        option_checks.check_host("ip", ip)
        self.affinity.bind()
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        sock = ListeningSocket(family, socket.SOCK_STREAM)
        try:
            if os.name == "posix":  # on Windows SO_REUSEADDR would let two processes listen at one port
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((ip, port))
            sock.listen(backlog)
            sock.setblocking(False)
        except OSError as error:
            sock.close()
            raise OSError(
                error.errno, f"cannot listen at {format_address(ip, port)}: {error.strerror or error}"
            ) from None
        listener = Listener(self, sock)
        self.listeners.add(listener)
        self.places.limit()
        self.spawn(listener.start(backlog))
        return listener

    def connect(
        self,
        ip: str,
        port: int,
        timeout_ms: int = 5000,
        *,
        secret: bytes | str | None = None,
        key: str | None = None,
        name: str = "",
        options: StreamOptions | None = None,
        subscribers: Subscribers | None = None,
    ) -> Stream:
        """Begin to connect; the stream's `on_connect` gets "ok" or the reason within `timeout_ms`.

        `secret`: of this stream, the manager's by default; or a `key` such as a key file has, `service:mail 9a0c...`. `name`:
        what to call the other end in messages, its address by default. Raises `Refused` when there are too many already.
        """
        option_checks.check(port=port, timeout_ms=timeout_ms)
        option_checks.check_host("ip", ip)
        if len(self.streams) >= self.max_connections:
            raise Refused(f"all {self.max_connections} connections of this manager are in use")
        self.affinity.bind()
        stream = self.new_stream(
            (Security.of_stream(secret, key) or self.security).connector(format_address(ip, port)),
            name=name or format_address(ip, port), options=options, subscribers=subscribers,
        )  # fmt: skip
        self.spawn(self._connector.connect(stream, ip, port, timeout_ms / 1000))
        return stream

    def register(self, service_id: int | str, token: int | None, is_master: bool = False) -> None:
        """Route to `service_id` over the stream `token`; 0 keeps a vacancy, None removes the entry.

        The first registration makes this process a router: what comes over streams that it accepted is routed. What comes over
        those that it opened is delivered as before: there it is the client. Of a connection of this manager to itself the tokens
        of both ends name the same: the stream that was opened. Raises `Refused` for an unknown token.
        """
        self.affinity.check()
        target = ServiceId.parse_service(service_id)
        table = self.switch.table
        self.switch.start_routing()
        if token is None:
            table.remove(target)
        elif token == 0:
            table.vacate(target)
        else:
            stream = self.streams.get(token)
            if stream is None:
                known = ", ".join(map(str, sorted(self.streams))) or "none"
                raise Refused(f"there is no stream with token {token} here; there are: {known}")
            stream = accepted_end(stream, self.streams.values())
            table.put(target, stream)
            self.switch.attach(stream, target)
            group = table.group(target.group)
            if is_master:
                table.set_master(target)
            elif group.master == target and not group.elected:
                table.clear_master(target.group)

    def wait(self, ms: int) -> int:
        """Handle what there is, for at most `ms` milliseconds; returns early once something was handled.

        Returns the number of events handled (accepts, connects, calls, errors). Only outside of asyncio. Errors: `Refused`
        inside a running loop, where nothing needs to be driven.
        """
        self.affinity.check()
        if running_loop() is not None or (self.affinity.is_bound and not self.affinity.is_own):
            raise Refused(
                "mgr.wait() is for programs without asyncio; inside a running loop no wait is needed"
            )
        loop = self.loop
        before = self._events
        self._stopping = False
        timer: asyncio.Handle = (
            loop.call_later(ms / 1000, self._stop_loop) if ms > 0 else loop.call_soon(self._stop_loop)
        )
        self.is_waiting = True
        self._events_seen = self._events
        try:
            loop.run_forever()
        finally:
            self.is_waiting = False
            for handle in (timer, self._stop):
                if handle is not None:
                    handle.cancel()
            self._stop = None
        return self._events - before

    # --- for what is built on it ------------------------------------------------------------------------------

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop: the running one at first use, else one of its own which `wait` drives."""
        return self.affinity.loop

    def first_sequence(self) -> int:
        """Where the sequences of a new stream's requests begin, at random."""
        return random.getrandbits(32)

    def handled(self, frames: int) -> None:
        """So many frames were given to this process' own handlers: events, for `wait`."""
        if frames and self._events == self._events_seen:  # else they were counted as callbacks
            self._happened(frames)
        self._events_seen = self._events

    def _happened(self, events: int = 1) -> None:
        self._events += events
        if self.is_waiting and self._stop is None:
            self._stop = self.loop.call_soon(self._stop_loop)

    def _stop_loop(self) -> None:
        """Once for each `wait`: uvloop keeps a second stop for the next time it runs."""
        if not self._stopping:
            self._stopping = True
            self.loop.stop()

    def accepted_stream(self, made: Callable[[Any], None]) -> Stream:
        """The stream of a connection that was accepted. `made(stream)` is called when it stands."""
        return self.new_stream(self.security.acceptor(), made=made)

    def new_stream(
        self,
        handshake: Handshake,
        *,
        made: Callable[[Any], None] = _ignore,
        name: str = "",
        options: StreamOptions | None = None,
        subscribers: Subscribers | None = None,
    ) -> Stream:
        """A stream with the next token. `made(stream)` is called when its connection stands."""
        self._next_token = self._next_token % 0xFF_FFFF + 1
        while self._next_token in self.streams:
            self._next_token = self._next_token % 0xFF_FFFF + 1
        stream = Stream(
            self, self._next_token, handshake, name=name, options=options or self._options,
            subscribers=subscribers or self._subscribers, made=made,
        )  # fmt: skip
        self.streams[stream.token] = stream
        if not handshake.connector:
            self.places.accepted(stream)
        return stream

    @property
    def refused(self) -> int:
        """Connections that were turned away, at once or for newer ones."""
        return self.places.refused

    def has_place(self) -> bool:
        """Whether one more connection may be accepted, be it in the place of a stranger's."""
        return self.places.has_one(len(self.streams))

    def stopped_listening(self, listener: Listener) -> None:
        """A listener is closed: forget it."""
        self.listeners.discard(listener)

    def known(self, stream: Channel) -> None:
        """The handshake is done: a stranger no longer."""
        self.places.known(stream.token)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine on the manager's loop and keep it until it is done."""
        task = tasks.start(work, self.loop)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def event(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Call a user's callback; what it raises is logged, and stops nothing. An awaitable is run as a task."""
        self._happened()
        try:
            result = callback(*args)
            if is_work(result):
                self.spawn(_logged(result, callback))
                return None
        except BaseException as error:
            callback_failed(callback, error, log)
            return None
        return result

    def gone(self, token: int, transport: asyncio.Transport | None) -> None:
        """A stream's connection is gone: forget it."""
        self.streams.pop(token, None)
        self.places.known(token)
        if transport is not None and transport in self._aborts:
            self._aborts.pop(transport).cancel()
        if not self.streams:
            for waiter in self._idle:
                if not waiter.done():
                    waiter.set_result(None)
            self._idle.clear()

    def _crowded(self) -> None:
        """Much waits for those who do not read: nobody may go on by what was allowed before."""
        for stream in self.streams.values():
            stream.curb()

    def flush_dirty(self) -> None:
        """Write what the switch has appended to other streams' buffers."""
        self.switch.flush()

    def abort_later(self, transport: asyncio.Transport) -> None:
        """A closed stream may take its time to write what is left, but not for ever."""
        self._aborts[transport] = self.loop.call_later(STUCK_TIMEOUT_S, transport.abort)

    def _shrunk(self) -> None:
        """Those have gone for whom much was kept: what was theirs is free in a moment."""
        self.loop.call_later(_FREE_S, give_back)

    async def close(self, timeout_s: float = STUCK_TIMEOUT_S) -> None:
        """Close every listener and stream, and wait until peers have taken what was sent, `timeout_s` seconds at most. A callback
        that calls this is not waited for."""
        self.affinity.check()
        for listener in list(self.listeners):
            listener.close()
        for stream in self.streams.values():
            stream.outstanding.clear()  # not the callees are lost: this process goes, and that is what callers are told
        for stream in list(self.streams.values()):
            stream.close()
        left = await tasks.end(self._tasks, min(timeout_s, MOMENT_S))
        for task in left:
            log.warning("a callback goes on although it was cancelled: %r", task)
        for stream in list(self.streams.values()):
            stream.connection.failed(
                NotConnected("given up")
            )  # those whose connecting has just been cancelled
        if self.streams:
            waiter: asyncio.Future[None] = self.loop.create_future()
            self._idle.append(waiter)
            hurry = self.loop.call_later(timeout_s, self._abort_all)
            try:
                await waiter
            finally:
                hurry.cancel()
        for timer in self._aborts.values():
            timer.cancel()
        self._aborts.clear()

    def _abort_all(self) -> None:
        for stream in list(self.streams.values()):
            stream.connection.shut(abort=True)

    def shutdown(self) -> None:
        """`close` for programs without asyncio: closes everything and the manager's own loop."""
        if not self.affinity.is_bound or not self.affinity.is_own or self.loop.is_closed():
            return
        self.affinity.check()
        self.loop.run_until_complete(self.close())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def forked(self) -> None:
        """This process is a child: keep no copy of the parent's connections, for their other ends would not see it die."""
        self.affinity.is_forked = True
        for listener in self.listeners:
            forks.let_go(listener.fileno())
        for stream in self.streams.values():
            stream.is_closed = True
            stream.thread = 0
            forks.let_go(descriptor_of(stream.connection))


async def _logged(work: Awaitable[Any], callback: Callable[..., Any]) -> None:
    try:
        await work
    except (asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:
        callback_failed(callback, error, log)


__all__ = ["Listener", "Reason", "SocketMgr", "Stream", "create_socket_mgr", "new_event_loop"]
