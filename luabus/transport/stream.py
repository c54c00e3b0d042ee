"""A stream: calls over a connection. What `SocketMgr.connect` returns and a listener's `on_accept` is given.

Life of a stream: connecting -> shaking hands -> open -> closed. `on_connect` is called once with "ok" or the reason why not;
after "ok", `on_error` is called once if the stream breaks, and never if this side closed it. Both get a `Reason`: a str, with
the typed error in `.error`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from threading import get_ident
from typing import Any

from luabus import option_checks
from luabus.errors import (
    FrameTooLarge,
    LuabusError,
    ProtocolError,
    RequestTimeout,
    UnknownMethod,
)
from luabus.exception_text import FATAL, is_a, name_of, text_of
from luabus.ids import ServiceId, parse_group
from luabus.limits import HEARTBEAT_S, HEARTBEATS_MISSED, LONGEST_TIMEOUT_S, REQUEST_TIMEOUT_S
from luabus.logs import Log
from luabus.protocol import codec
from luabus.protocol.events import Receiver
from luabus.protocol.frames import FLAG_META, FLAG_REQUEST, HEADER_SIZE, META_SIZE, Kind, make_route
from luabus.protocol.handshake import Handshake
from luabus.protocol.hashing import hash_key
from luabus.protocol.session import CALL_ROUTE, REQUEST_ROUTE
from luabus.protocol.stream_options import StreamOptions, check_buffer
from luabus.transport.channel import NO_SUBSCRIBERS, Channel, ChannelOwner, Reason, Subscribers
from luabus.transport.guard import is_work, tell_failure

log = Log("luabus.stream")

_CONTROL_PREFIX = "luabus."
"""How the names begin of what a router says to everybody; a plain stream's `on_call` has no use for it."""


class Stream(Channel):
    """A connection to another process. Set `on_call(msg, *args)`, `on_error(reason)`, and `on_connect("ok" | reason)`."""

    __slots__ = ("on_call",)

    def __init__(
        self,
        mgr: ChannelOwner,
        token: int,
        handshake: Handshake,
        *,
        name: str = "",
        options: StreamOptions,
        subscribers: Subscribers,
        made: Callable[[Any], None],
    ) -> None:
        super().__init__(
            mgr, token, handshake, name=name, options=options, subscribers=subscribers, made=made
        )
        self.on_call: Callable[..., Any] | None = None

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed" if self.is_closed else "connecting"
        return f"<Stream {self.token} {self.label} {state}>"

    @property
    def ip(self) -> str:
        """The peer's address, "" before the connection stands."""
        return self.peer[0]

    # --- what was asked for -----------------------------------------------------------------------------------

    def call(self, msg: str, *args: Any) -> None:
        """Send a one-way message to the other end.

        What is sent before the stream is open goes out when it is. Raises `BadArguments`, `FrameTooLarge`, `Overloaded` (the
        send buffer is full) or `NotConnected` (closed); nothing is sent then.
        """
        self.check_use()
        self.post(CALL_ROUTE, 0, codec.pack_call(msg, args))

    def forward_target(self, service_id: int | str, msg: str, *args: Any) -> None:
        """Through the router at the other end, to one instance (`0x20001`, `"2.1"`). Errors as `call`."""
        self.check_use()
        target = ServiceId.parse(service_id)
        self.post(make_route(Kind.TARGET, destination=target), 0, codec.pack_call(msg, args))

    def forward_hash(self, key: int | str | bytes, group: int, msg: str, *args: Any) -> None:
        """Through the router, to the instance that owns the key. Errors as `call`."""
        self.check_use()
        self.post(make_route(Kind.HASH, 0, parse_group(group)), hash_key(key), codec.pack_call(msg, args))

    def forward_random(self, group: int, msg: str, *args: Any) -> None:
        """Through the router, to any live instance of the group. Errors as `call`."""
        self.check_use()
        self.post(make_route(Kind.RANDOM, 0, parse_group(group)), 0, codec.pack_call(msg, args))

    def forward_broadcast(self, group: int, msg: str, *args: Any) -> None:
        """Through the router, to every live instance of the group but this one. Errors as `call`."""
        self.check_use()
        self.post(make_route(Kind.BROADCAST, 0, parse_group(group)), 0, codec.pack_call(msg, args))

    def forward_master(self, group: int, msg: str, *args: Any) -> None:
        """Through the router, to the group's master. Errors as `call`."""
        self.check_use()
        self.post(make_route(Kind.MASTER, 0, parse_group(group)), 0, codec.pack_call(msg, args))

    def close(self) -> None:
        """Close this side, after what was sent before. No callback follows; requests in flight fail with `PeerLost`."""
        self.check_use()
        self.end(None)

    def set_timeout(self, ms: int) -> None:
        """Break the stream with "timeout" when nothing arrives for `ms` milliseconds; 0 (the default) = never."""
        self.check_use()
        self.limit_silence(ms, time.monotonic())

    def set_nodelay(self, enabled: bool = True) -> None:
        """TCP_NODELAY; on by default."""
        self.check_use()
        self.connection.set_nodelay(enabled)

    def set_recv_buffer_size(self, size: int) -> None:
        """Bytes of the longest message taken, header included; default 64 KiB. A longer one ends the stream."""
        self.check_use()
        self.frame_limit = check_buffer(size) - HEADER_SIZE

    def set_send_buffer_size(self, size: int) -> None:
        """Bytes kept for a peer that does not read, default 64 KiB; beyond, `call` raises `Overloaded`. A message larger than
        this cannot be sent at all (`FrameTooLarge`)."""
        self.check_use()
        self.limit_send_buffer(size)
        self.connection.set_water_marks()

    # --- requests ---------------------------------------------------------------------------------------------

    async def request(self, msg: str, *args: Any, timeout: float | None = REQUEST_TIMEOUT_S) -> Any:
        """Call the process at the other end and return what its handler returns.

        Raises what the handler raised (`RemoteError`), `UnknownMethod`, `RequestTimeout` after `timeout` seconds, `PeerLost`,
        and what `call` raises. Cancelling tells the other end to stop.
        """
        body = codec.pack_call(msg, args)
        return await self.ask(REQUEST_ROUTE, 0, body, timeout, lambda: f"{msg} at {self.label}")

    async def ask(
        self,
        route: int,
        key: int,
        body: bytes,
        timeout: float | None,
        describe: Callable[[], str],
        trace: int = 0,
        epoch: int = 0,
    ) -> Any:
        """Send a request frame (`route` has REQUEST and META set) and wait for its answer."""
        waiter = self.new_waiter()
        sequence = self.start_call(waiter, route, key, body, deadline_in(timeout), trace, epoch)
        try:
            return await waiter
        except TimeoutError:
            raise late(describe(), timeout) from None
        except asyncio.CancelledError:
            self.give_up(sequence)
            raise

    def new_waiter(self) -> asyncio.Future[Any]:
        """A future for `start_call`. Raises `Refused` in another event loop."""
        if get_ident() != self.thread or not self.loop.is_running():  # as in `Route.send`
            self.check_use()
        return self.loop.create_future()

    def start_heartbeat(self, interval_s: float = HEARTBEAT_S, missed: int = HEARTBEATS_MISSED) -> None:
        """Ping each `interval_s` seconds; break with "timeout" when `missed` of them brought nothing."""
        self.check_use()
        self.beat(time.monotonic(), interval_s, missed)

    def ping(self) -> int:
        """Send a PING now; its PONG renews `clock`. Returns its stamp for `heard`."""
        self.check_use()
        return self.send_ping(time.monotonic())

    def remaining_s(self, deadline_ms: int) -> float | None:
        """Seconds until a deadline off this stream; None when there is none."""
        return self.clock.remaining_s(deadline_ms, time.monotonic())

    # --- answering --------------------------------------------------------------------------------------------

    def serve(self, receiver: Receiver) -> None:
        """Let `receiver` take the calls that arrive."""
        self.receiver = receiver

    def reply_error(self, source: int, sequence: int, error: LuabusError) -> None:
        """Answer the request `sequence` of `source` with `error`; a router keeps it as the connection's last error."""
        if self._mgr.switch.routing:
            self.note(f"{name_of(type(error))}: {text_of(error)}")
        super().reply_error(source, sequence, error)

    def called(self, route: int, source: int, sequence: int, data: bytes, start: int, end: int) -> None:
        flags = route >> 8
        if flags & FLAG_META:
            start += META_SIZE
        wanted = flags & FLAG_REQUEST
        body = b""
        try:
            body = self.body_of(route, data[start:end])
            msg, *args = codec.unpack_call(body)
        except (ProtocolError, FrameTooLarge) as error:
            if route & 0xFF == Kind.CALL and not codec.is_call(body):
                raise
            # It came through a router, or one value in it is at fault: not the stream.
            if wanted:
                self.reply_error(source, sequence, error)
            else:
                log.warning("a message from %s is dropped: %s", self.label, error)
            return
        if not wanted and route & 0xFF == Kind.CALL and msg.startswith(_CONTROL_PREFIX):
            return
        if self.on_call is None:
            if wanted:
                self.reply_error(source, sequence, UnknownMethod(f"nobody handles {msg!r} here", method=msg))
            return
        if not wanted:
            self._mgr.event(self.on_call, msg, *args)
            return
        try:
            result = self.on_call(msg, *args)
            if is_work(result):
                self._mgr.spawn(self._answer_later(result, msg, source, sequence))
            else:
                self._answer_with(result, source, sequence)
        except BaseException as error:
            self._answer_failure(error, msg, source, sequence)

    async def _answer_later(self, work: Awaitable[Any], msg: str, source: int, sequence: int) -> None:
        try:
            self._answer_with(await work, source, sequence)
        except BaseException as error:
            self._answer_failure(error, msg, source, sequence)
            if is_a(error, asyncio.CancelledError):
                raise

    def _answer_with(self, result: Any, source: int, sequence: int) -> None:
        try:
            self.reply(make_route(Kind.REPLY, 0, 0, source), sequence, codec.pack_value(result))
        except LuabusError as error:
            self.reply_error(source, sequence, error)

    def _answer_failure(self, error: BaseException, msg: str, source: int, sequence: int) -> None:
        tell_failure(error, msg, "this process", partial(self.reply_error, source, sequence))


def deadline_in(timeout: float | None) -> float | None:
    """When a time-out of so many seconds from now is over (monotonic seconds); None for one that never is.

    Raises `RequestTimeout` when no time is left, and `ConfigError` for what is no number.
    """
    if timeout is None:
        return None
    try:
        if 0 < timeout <= LONGEST_TIMEOUT_S:
            return time.monotonic() + timeout
    except FATAL:
        raise
    except BaseException:  # it is no number; whether it compares is its own affair
        pass
    limit = option_checks.time_limit(timeout)
    if limit is not None:
        raise RequestTimeout(f"nothing was sent: a time-out of {limit:g} s leaves no time", timeout_s=limit)
    return None


def late(route: str, timeout: float | None) -> RequestTimeout:
    """The error for a request that nobody answered in time."""
    return RequestTimeout(f"no answer from {route} within {timeout:.4g} s", route=route, timeout_s=timeout)


__all__ = [
    "CALL_ROUTE",
    "NO_SUBSCRIBERS",
    "REQUEST_ROUTE",
    "Reason",
    "Receiver",
    "Stream",
    "Subscribers",
    "deadline_in",
    "late",
]
