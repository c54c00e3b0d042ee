"""A session with asyncio: callers as futures, waiting for what happens to the connection, subscribers told of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

from luabus.errors import ConnectionLost, LuabusError, NotConnected, PeerLost
from luabus.protocol.events import Receiver
from luabus.protocol.handshake import Handshake
from luabus.protocol.port import LastError
from luabus.protocol.session import Session
from luabus.protocol.stream_options import StreamOptions
from luabus.transport.affinity import LoopAffinity
from luabus.transport.connection import Connection, ConnectionOwner
from luabus.transport.waiters import Waiters


class Reason(str):
    """Why a stream did not open or broke: "timeout", "closed by peer", "ProtocolError: ...". `error` is the typed one."""

    __slots__ = ("error",)
    error: LuabusError

    @classmethod
    def of(cls, error: LuabusError, text: str = "") -> Reason:
        """The reason `text`, or the error's type and message."""
        reason = cls(text or f"{type(error).__name__}: {error}")
        reason.error = error
        return reason


@dataclass(frozen=True, slots=True)
class Subscribers:
    """Who is told what about a stream, given when it is made; beside the user's own `on_call`, `on_connect` and `on_error`.

    `receiver` takes the calls that arrive, `control_receiver` those which the other end itself makes. `opened(stream)`,
    `closed(stream, error)`, `ping(stream, body)` and `pong(stream, body)` are called; `ping_body()` makes what a heart-beat
    carries, `lost_error` the error of requests that were in flight.
    """

    receiver: Receiver | None = None
    control_receiver: Receiver | None = None
    opened: Callable[[Any], None] | None = None
    closed: Callable[[Any, LuabusError | None], None] | None = None
    ping: Callable[[Any, bytes], None] | None = None
    pong: Callable[[Any, bytes], None] | None = None
    ping_body: Callable[[], bytes] | None = None
    lost_error: type[ConnectionLost] = PeerLost


NO_SUBSCRIBERS: Final = Subscribers()


class ChannelOwner(ConnectionOwner, Protocol):
    """What a channel needs of the manager that it belongs to."""

    affinity: LoopAffinity

    def first_sequence(self) -> int:
        """Where the sequences of a new stream's requests begin, at random."""

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine and keep it until it is done."""

    def known(self, stream: Channel) -> None:
        """The handshake is done."""

    def event(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Call a user's callback; what it raises is logged."""


class Channel(Session):
    """A session, the connection that drives it, and those who wait for either."""

    __slots__ = (
        "__weakref__", "_mgr", "_open_waiters", "_pong_waiters", "_subscribers", "check_use", "connection", "last_error_at",
        "loop", "on_connect", "on_error", "thread",
    )  # fmt: skip

    def __init__(
        self,
        mgr: ChannelOwner,
        token: int,
        handshake: Handshake,
        *,
        name: str,
        options: StreamOptions,
        subscribers: Subscribers,
        made: Callable[[Any], None],
    ) -> None:
        self.connection = Connection(mgr, nodelay=options.nodelay, made=made)
        self.connection.drive(self)
        super().__init__(
            token, self.connection, mgr.switch, handshake, first_sequence=mgr.first_sequence(), now=time.monotonic(),
            options=options, name=name, receiver=subscribers.receiver, control_receiver=subscribers.control_receiver,
        )  # fmt: skip
        self._mgr = mgr
        self.loop = mgr.loop
        self.thread = mgr.affinity.thread
        self.check_use: Callable[[], None] = mgr.affinity.check
        """Raises `Refused` in another event loop, thread or process than the manager's."""
        self._subscribers = subscribers
        self._open_waiters = Waiters()
        self._pong_waiters = Waiters()
        self.last_error_at = 0.0
        """When `last_error` happened, in seconds since the epoch."""
        self.on_connect: Callable[[Reason | str], Any] | None = None
        self.on_error: Callable[[Reason], Any] | None = None

    # --- waiting ----------------------------------------------------------------------------------------------

    async def connected(self) -> None:
        """Wait until the stream is open. Raises why it did not open. Cancelling loses nothing."""
        self.check_use()
        if self.is_closed:
            raise NotConnected("the stream is closed")
        if not self.is_open:
            await self._open_waiters.wait()

    @property
    def is_paused(self) -> bool:
        """The peer takes less than is sent: `await drained()`."""
        return self.connection.is_paused

    async def drained(self) -> None:
        """Wait until the peer has taken most of what was sent: `await` it to be slowed instead of `Overloaded`."""
        self.check_use()
        self.flush()
        await self.connection.drained()

    async def wait_writable(self) -> bool:
        """Wait as `drained`, for a second at most; False when there is no use in waiting any longer."""
        self.check_use()
        return await self.connection.wait_writable()

    async def heard(self, stamp: int) -> None:
        """Wait until the peer has answered the PING with this stamp or a later one, or the stream is closed."""
        self.check_use()
        while self.is_open and not self.has_heard(stamp):
            await self._pong_waiters.wait()

    async def clock_known(self) -> None:
        """Wait for the first PONG, without which no deadline can be given, or until the stream is closed."""
        self.check_use()
        while self.is_open and self.clock.offset_ms is None:
            await self._pong_waiters.wait()

    async def closed(self) -> None:
        """Wait until the connection is gone."""
        self.check_use()
        if not self.connection.gone:
            await self.connection.gone_waiters.wait()

    # --- SessionEvents ----------------------------------------------------------------------------------------

    def note(self, error: LastError) -> None:
        self.last_error = error
        self.last_error_at = time.time()

    def opened(self) -> None:
        self._mgr.known(self)
        self._mgr.switch.attach(self)
        if self._subscribers.opened is not None:
            self._subscribers.opened(self)
        if self.on_connect is not None:
            self._mgr.event(self.on_connect, "ok")
        self._open_waiters.release()

    def ended(self, error: LuabusError | None, text: str, *, was_open: bool) -> None:
        if self._mgr.switch.dirty:
            self._mgr.flush_dirty()
        self._open_waiters.release(error or NotConnected("the stream was closed before it was open"))
        self._pong_waiters.release()
        if self._subscribers.closed is not None:
            self._subscribers.closed(self, error)
        self._mgr.switch.table.lost(self)  # nothing more is routed to it, also where no router sees to that
        if error is not None:
            reason = Reason.of(error, text)
            if self.connector and not was_open and self.on_connect is not None:
                self._mgr.event(self.on_connect, reason)
            elif self.on_error is not None:
                self._mgr.event(self.on_error, reason)

    def answered(self, waiter: Any, source: int, value: Any) -> bool:
        if not isinstance(waiter, asyncio.Future):
            waiter.answer(source, value)  # it settles itself, when all have answered
            return False
        if not waiter.done():
            if isinstance(value, LuabusError):
                waiter.set_exception(value)
            else:
                waiter.set_result(value)
        return True

    def reached(self, waiter: Any, count: int, body: bytes) -> None:
        if not isinstance(waiter, asyncio.Future):
            waiter.reached(count, body)

    def expired(self, waiter: Any) -> None:
        if not isinstance(waiter, asyncio.Future):
            waiter.expired()
        elif not waiter.done():
            waiter.set_exception(TimeoutError())

    def lost(self, waiter: Any, why: str) -> None:
        text = f"{self.label} was lost while the request was in flight: {why}"
        error = self._subscribers.lost_error(text, peer=self.label, reason=why)
        if not isinstance(waiter, asyncio.Future):
            waiter.lost(error)
        elif not waiter.done():
            waiter.set_exception(error)

    def ping_received(self, body: bytes) -> None:
        if self._subscribers.ping is not None:
            self._subscribers.ping(self, body)

    def pong_received(self, body: bytes) -> None:
        self._pong_waiters.release()
        if self._subscribers.pong is not None:
            self._subscribers.pong(self, body)

    def ping_body(self) -> bytes:
        return b"" if self._subscribers.ping_body is None else self._subscribers.ping_body()
