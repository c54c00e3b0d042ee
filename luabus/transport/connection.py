"""A session on a TCP connection of asyncio's: socket options, write buffer, water marks, timer.

What is sent within one turn of the event loop goes out in one write; many requests or answers in several.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from math import inf
from typing import Any, Protocol, cast

from luabus.errors import LuabusError, Overloaded, PeerLost
from luabus.exception_text import FATAL
from luabus.limits import HEARTBEAT_S, STUCK_TIMEOUT_S
from luabus.protocol.handshake import NOWHERE, Address
from luabus.protocol.session import Session
from luabus.protocol.silence import LATE_S
from luabus.routing.switch import Switch
from luabus.transport.loops import interrupt
from luabus.transport.send_queue import unacknowledged
from luabus.transport.waiters import Waiters

_HIGH_WATER = 64 * 1024
_WATCH_S = HEARTBEAT_S / 2
"""How often it is looked whether a large message makes progress."""
_PATIENCE_S = 1.0
"""A peer that takes nothing for so long is not waited for."""


class ConnectionOwner(Protocol):
    """What a connection needs of the manager that it belongs to."""

    switch: Switch
    is_waiting: bool
    """A program without asyncio waits for something to happen: `handled` counts."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that drives all."""

    def handled(self, frames: int) -> None:
        """So many frames were given to this process' own handlers."""

    def gone(self, token: int, transport: asyncio.Transport | None) -> None:
        """A connection is gone."""

    def flush_dirty(self) -> None:
        """Write what the switch has appended to other connections' buffers."""

    def abort_later(self, transport: asyncio.Transport) -> None:
        """A closed transport may take its time to write what is left, but not for ever."""


class Connection(asyncio.Protocol):
    """Drives one session. `made(session)` is called when the connection stands, before anything is received."""

    __slots__ = (
        "_choked", "_flushing", "_loop", "_made", "_nodelay", "_owner", "_session", "_stalled_mark", "_taken_at",
        "_taken_mark", "_timer", "_timer_at", "_watch", "_watch_at", "_writable_waiters", "gone", "gone_waiters", "is_paused",
        "transport",
    )  # fmt: skip

    def __init__(self, owner: ConnectionOwner, *, nodelay: bool, made: Callable[[Any], None]) -> None:
        self._owner = owner
        self._loop = owner.loop
        self._nodelay = nodelay
        self._made = made
        self._flushing = self._choked = False
        self._stalled_mark = -1
        self._taken_at = self._watch_at = 0.0
        self._taken_mark = 0
        self._watch: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._writable_waiters = Waiters()
        self.transport: asyncio.Transport | None = None
        self.is_paused = False
        """The peer takes less than is sent."""
        self.gone = False
        """There is no connection any more, and none will come."""
        self.gone_waiters = Waiters()

    def drive(self, session: Session) -> None:
        """The session of this connection, before it stands."""
        self._session = session

    # --- asyncio.Protocol -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's has the methods, not the class
        if self._session.is_closed:
            transport.abort()
            return
        self.transport = transport
        sock = self.sock()
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: half-open links end also while data waits
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STUCK_TIMEOUT_S * 1000))
        self.set_nodelay(self._nodelay)
        self.set_water_marks()
        peer, local = (_address(transport, end) for end in ("peername", "sockname"))
        self._session.start(time.monotonic(), peer, local)
        self._made(self._session)

    def data_received(self, data: bytes) -> None:
        session, owner = self._session, self._owner
        frames, answers = session.frames_in, session.answers
        flushing, self._flushing = self._flushing, True  # what handlers answer at once is written below
        try:
            session.receive(data, time.monotonic())
        except (
            FATAL
        ) as error:  # Ctrl-C at this very moment; uvloop would take it for an error of the connection alone
            session.end(PeerLost("this process was interrupted", peer=session.label), abort=True)
            interrupt(error)
        finally:
            self._flushing = flushing
            if owner.is_waiting:
                owner.handled(session.frames_in - frames)
            if session.out:
                session.flush()
            if owner.switch.dirty:
                owner.flush_dirty()
        if session.answers != answers:
            # Behind those who now go on and may ask again: what they send is written in the same turn of the loop.
            self.write_soon()
        if session.reserved > session.kept_limit:
            self._choke()

    def eof_received(self) -> bool:
        self._session.eof()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        session = self._session
        reason = "closed by peer" if exc is None else f"{type(exc).__name__}: {exc}"
        session.end(
            PeerLost(f"the connection to {session.label} ended: {reason}", peer=session.label, reason=reason),
            reason,
        )
        session.count_waiting(0)
        shut_down(descriptor_of(self))
        transport, self.transport = self.transport, None
        self.gone = True
        self._owner.gone(session.token, transport)
        self.gone_waiters.release()

    def pause_writing(self) -> None:
        self.is_paused = True
        self._begin_watch()

    def resume_writing(self) -> None:
        self.is_paused = False
        if self.transport is not None:
            if self._choked:
                self._choked = False
                self._session.pause_reading(False, time.monotonic())
                self.transport.resume_reading()
            self._session.taken(self.transport.get_write_buffer_size())
        self._writable_waiters.release()

    # --- writing ----------------------------------------------------------------------------------------------

    def write_soon(self) -> None:
        """Have the session flushed at the end of the loop's turn."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_soon)

    def _flush_soon(self) -> None:
        self._flushing = False
        self._session.flush()

    def write(self, data: bytes) -> int:
        """Hand `data` to the transport; returns how many bytes it has yet to write."""
        transport = self.transport
        if transport is None:
            return 0
        if data:
            transport.write(data)
            if len(data) > _HIGH_WATER and self._watch is None:
                self._begin_watch()
        return transport.get_write_buffer_size()

    async def drained(self) -> None:
        """Wait until the peer has taken most of what was sent."""
        if self.is_paused and not self._session.is_closed:
            await self._writable_waiters.wait()

    async def wait_writable(self) -> bool:
        """Wait for as `drained`, and for a second at most. False when there is no use in waiting: the peer has taken most of what
        was sent, or it took nothing since it was last looked at a second ago."""
        if not self.is_paused or self._session.is_closed or self._taken() == self._stalled_mark:
            return False
        mark = self._taken()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await self._writable_waiters.wait()
        if self.is_paused and self._taken() == mark:
            self._stalled_mark = mark
        return self.is_paused

    def _taken(self) -> int:
        """Bytes that the socket has taken."""
        waiting = self.transport.get_write_buffer_size() if self.transport is not None else 0
        return self._session.bytes_out - waiting

    def _begin_watch(self) -> None:
        """See from now on whether the peer takes what is written, as long as much of that is under way."""
        self._taken_at = time.monotonic()
        if self._watch is None:
            self._taken_mark = self._acknowledged()
            self._watch_again()

    def _watch_again(self) -> None:
        self._watch_at = time.monotonic() + _WATCH_S
        self._watch = self._loop.call_later(_WATCH_S, self._watch_writing)

    def _acknowledged(self) -> int:
        """Bytes that the peer's machine has taken, as far as ours tells."""
        sock = self.sock()
        return self._taken() - (unacknowledged(sock) if sock is not None else 0)

    def _watch_writing(self) -> None:
        """A peer that takes something lives; one that takes nothing for a while is cut off."""
        self._watch = None
        if self.transport is None or self._session.is_closed:
            return
        self._session.count_waiting(self.transport.get_write_buffer_size())
        now, taken = time.monotonic(), self._acknowledged()
        if taken > self._taken_mark:
            self._taken_mark, self._taken_at = taken, now
            self._session.progressed(now)
        elif now > self._watch_at + LATE_S:
            self._taken_at = now  # this process stood still, and perhaps the peer with it
        if self.is_paused and now - self._taken_at >= STUCK_TIMEOUT_S:
            self._cut_off(self.transport.get_write_buffer_size())
        elif self.is_paused or self._session.bytes_out - taken > _HIGH_WATER:
            self._watch_again()

    def _cut_off(self, waiting: int) -> None:
        session = self._session
        error = Overloaded(
            f"the peer read nothing for {STUCK_TIMEOUT_S:g} s while {waiting} bytes waited for it",
            what="bytes in the send buffer", limit=session.send_limit, current=waiting,
        )  # fmt: skip
        session.end(error, abort=True)

    def _choke(self) -> None:
        """The answers that wait for this peer exceed its buffer: take no more from it until it has read most of them."""
        session = self._session
        session.flush()
        if (
            session.reserved > session.kept_limit
            and self.is_paused and not self._choked and self.transport is not None
        ):  # fmt: skip
            self._choked = True
            self.transport.pause_reading()
            session.pause_reading(True, time.monotonic())

    # --- settings ---------------------------------------------------------------------------------------------

    def set_nodelay(self, enabled: bool) -> None:
        """TCP_NODELAY, now or when the connection stands."""
        self._nodelay = enabled
        sock = self.sock()
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(enabled))

    def set_water_marks(self) -> None:
        """Say again when the transport has enough, after the send buffer's limit has changed."""
        if self.transport is not None:
            high = min(_HIGH_WATER, self._session.send_limit // 2)
            with contextlib.suppress(RuntimeError):  # uvloop: the transport is closing
                self.transport.set_write_buffer_limits(high=high, low=high // 4)

    def sock(self) -> socket.socket | None:
        """The connection's socket, while it stands."""
        if self.transport is None:
            return None
        return cast("socket.socket | None", self.transport.get_extra_info("socket"))

    # --- time and end -----------------------------------------------------------------------------------------

    def due_changed(self) -> None:
        """Have the session's `tick` called when it is due. Too early does no harm, so a later date waits for the timer."""
        due = self._session.due_at
        if due >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_later(max(0.0, due - time.monotonic()), self._tick)

    def _tick(self) -> None:
        self._timer, self._timer_at = None, inf
        self._session.tick(time.monotonic())

    def shut(self, *, abort: bool) -> None:
        """Close the connection, after all that was handed over has been written, or at once."""
        transport = self.transport
        if transport is not None:
            if abort:
                transport.abort()
            else:
                transport.close()
                if transport.get_write_buffer_size():
                    self._owner.abort_later(transport)
        for timer in (self._timer, self._watch):
            if timer is not None:
                timer.cancel()
        self._writable_waiters.release()

    def failed(self, error: LuabusError, text: str = "") -> None:
        """The connection did not come about."""
        self._session.end(error, text, abort=True)
        if self.transport is None and not self.gone:
            self.connection_lost(None)


def _address(transport: asyncio.Transport, end: str) -> Address:
    address = transport.get_extra_info(end)
    return (str(address[0]), int(address[1])) if isinstance(address, tuple) else NOWHERE


def descriptor_of(connection: Connection) -> int:
    """The socket's; -1 without one."""
    sock = connection.sock()
    return -1 if sock is None else sock.fileno()


def shut_down(descriptor: int) -> None:
    """End the connection of a socket, whoever else has a copy of it: a close alone takes effect with the last copy's."""
    if descriptor >= 0:
        with contextlib.suppress(OSError):  # the peer has ended it
            sock = socket.socket(fileno=descriptor)
            try:
                sock.shutdown(socket.SHUT_RDWR)
            finally:
                sock.detach()
