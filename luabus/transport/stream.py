"""A stream: calls over a connection. What `SocketMgr.connect` returns and a listener's `on_accept` is given.

Life of a stream: connecting -> shaking hands -> open -> closed. `on_connect` is called once with "ok" or the reason why not;
after "ok", `on_error` is called once if the stream breaks, and never if this side closed it. Both get a `Reason`: a str, with
the typed error in `.error`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from luabus.errors import (
    FrameTooLarge,
    LuabusError,
    Overloaded,
    PeerLost,
    ProtocolError,
    RemoteError,
    RequestTimeout,
    UnknownMethod,
    from_wire,
)
from luabus.ids import ServiceId, parse_group
from luabus.limits import HEARTBEAT_S, HEARTBEATS_MISSED, MAX_OUTSTANDING, REQUEST_TIMEOUT_S
from luabus.protocol import codec
from luabus.protocol.clock import PeerClock
from luabus.protocol.compression import NEVER, compress, decompress
from luabus.protocol.frames import (
    FLAG_COMPRESSED,
    FLAG_META,
    FLAG_REQUEST,
    HEADER,
    HEADER_META,
    META_SIZE,
    Kind,
    make_route,
)
from luabus.protocol.handshake import decode_bye, encode_bye
from luabus.protocol.hashing import hash_key
from luabus.protocol.pending import PendingCalls
from luabus.transport.connection import PORTION, Connection, ConnectionOwner
from luabus.transport.waiters import Waiters

CALL_ROUTE = make_route(Kind.CALL)
REQUEST_ROUTE = make_route(Kind.CALL, FLAG_REQUEST | FLAG_META)
_LONGEST_TIMEOUT_S = 2_000_000.0
_LONGEST_ERROR = 32 * 1024
"""Bytes of an error's body; of a longer one its type and the beginning of its text travel."""
_OWN_WORDS = "luabus."
"""How the names begin of what a router says to everybody; a plain stream's `on_call` has no use for it."""
_CALL, _PING, _PONG, _BYE = int(Kind.CALL), int(Kind.PING), int(Kind.PONG), int(Kind.BYE)
_COMPRESSED = FLAG_COMPRESSED << 8
_REPLY, _ERROR, _REACHED, _CANCEL = int(Kind.REPLY), int(Kind.ERROR), int(Kind.REACHED), int(Kind.CANCEL)


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


class Receiver:
    """What takes the calls that arrive on a stream (see `dispatch.Dispatcher`)."""

    def take(
        self, stream: Stream, route: int, source: int, sequence: int, data: bytes, start: int, end: int
    ) -> None:
        """A call or request; its meta and body are `data[start:end]`."""
        raise NotImplementedError

    def cancel(self, stream: Stream, source: int, sequence: int) -> None:
        """The one who asked no longer waits."""

    def stream_closed(self, stream: Stream) -> None:
        """Nobody who asked through this stream can be answered any more."""


class Stream(Connection):
    """A connection to another process. Set `on_call(msg, *args)`, `on_error(reason)`, and `on_connect("ok" | reason)`."""

    __slots__ = (
        "__weakref__",
        "_call_at",
        "_call_timer",
        "_calls",
        "_heartbeat_s",
        "_heartbeat_timer",
        "_pong_stamp",
        "clock",
        "compress_above",
        "lost_error",
        "on_call",
        "on_close",
        "on_connect",
        "on_error",
        "on_ping",
        "on_pong",
        "ping_body",
        "pongs",
        "preferred_by_peer",
        "receiver",
        "reported_rtt_us",
        "words",
    )  # fmt: skip

    def __init__(self, mgr: ConnectionOwner, token: int, *, connector: bool) -> None:
        super().__init__(mgr, token, connector=connector)
        self._calls: PendingCalls[Any] = PendingCalls(mgr.first_sequence())
        self._call_timer: asyncio.TimerHandle | None = None
        self._call_at = 0.0
        self._heartbeat_s = 0.0
        self._heartbeat_timer: asyncio.TimerHandle | None = None
        self.clock = PeerClock(connector=connector)
        self.compress_above = NEVER
        """Bodies longer than this many bytes are compressed."""
        self.pongs = Waiters()
        self._pong_stamp: int | None = None
        self.reported_rtt_us = 0
        """The round trip in us that the peer measured last."""
        self.preferred_by_peer = False
        """The peer forwards through us (at a router)."""
        self.lost_error: type[PeerLost] | Callable[..., LuabusError] = PeerLost
        self.receiver: Receiver | None = None
        """Takes the calls that arrive."""
        self.words: Receiver | None = None
        """Takes, if set, what the other end itself says (frames of kind CALL)."""
        self.on_connect: Callable[[Reason | str], Any] | None = None
        self.on_call: Callable[..., Any] | None = None
        self.on_error: Callable[[Reason], Any] | None = None
        self.on_close: Callable[[Stream, LuabusError | None], Any] | None = None
        self.on_pong: Callable[[Stream, bytes], Any] | None = None
        self.on_ping: Callable[[Stream, bytes], Any] | None = None
        self.ping_body: Callable[[], bytes] | None = None

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed" if self._closed_at else "connecting"
        return f"<Stream {self.token} {self.label} {state}>"

    # --- what was asked for -----------------------------------------------------------------------------------

    def call(self, msg: str, *args: Any) -> None:
        """Send a one-way message to the other end.

        What is sent before the stream is open goes out when it is. Raises `BadArguments`, `FrameTooLarge`, `Overloaded` (the
        send buffer is full) or `NotConnected` (closed); nothing is sent then.
        """
        self.post(CALL_ROUTE, 0, codec.pack_call(msg, args))

    def forward_target(self, service_id: int | str, msg: str, *args: Any) -> None:
        """Through the router at the other end, to one instance (`0x20001`, `"2.1"`). Errors as `call`."""
        target = ServiceId.parse(service_id)
        self.post(make_route(Kind.TARGET, destination=target), 0, codec.pack_call(msg, args))

    def forward_hash(self, key: int | str | bytes, group: int, msg: str, *args: Any) -> None:
        """Through the router, to the instance whose slot the key's hash names. Errors as `call`."""
        self.post(make_route(Kind.HASH, 0, parse_group(group)), hash_key(key), codec.pack_call(msg, args))

    def forward_random(self, group: int, msg: str, *args: Any) -> None:
        """Through the router, to any live instance of the group. Errors as `call`."""
        self.post(make_route(Kind.RANDOM, 0, parse_group(group)), 0, codec.pack_call(msg, args))

    def forward_broadcast(self, group: int, msg: str, *args: Any) -> None:
        """Through the router, to every live instance of the group but this one. Errors as `call`."""
        self.post(make_route(Kind.BROADCAST, 0, parse_group(group)), 0, codec.pack_call(msg, args))

    def forward_master(self, group: int, msg: str, *args: Any) -> None:
        """Through the router, to the group's master. Errors as `call`."""
        self.post(make_route(Kind.MASTER, 0, parse_group(group)), 0, codec.pack_call(msg, args))

    # --- sending ----------------------------------------------------------------------------------------------

    def post(self, route: int, key: int, body: bytes, trace: int = 0, epoch: int = 0) -> None:
        """Send one frame whose answer nobody awaits; meta is written when there is a trace or an epoch."""
        if len(body) > self.compress_above:
            route, body = self._compress(route, body)
        if trace or epoch:
            size = META_SIZE + len(body)
            head = HEADER_META.pack(size, route | FLAG_META << 8, key, self.source, 0, 0, epoch, trace)
        else:
            head = HEADER.pack(len(body), route, key, self.source, 0)
        self.send_frame(head, body)

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
        sequence = self.start_call(waiter, route, key, body, timeout, trace, epoch)
        try:
            return await waiter
        except TimeoutError:
            raise late(describe(), timeout) from None
        except asyncio.CancelledError:
            self.give_up(sequence)
            raise

    def new_waiter(self) -> asyncio.Future[Any]:
        """A future for `start_call`."""
        return self._mgr.loop.create_future()

    def start_call(
        self,
        waiter: Any,
        route: int,
        key: int,
        body: bytes,
        timeout: float | None,
        trace: int = 0,
        epoch: int = 0,
    ) -> int:
        """Send a request frame; `waiter` (a future, or a `gather.Gather`) gets the answer. Returns the sequence."""
        if len(self._calls) >= MAX_OUTSTANDING:
            raise Overloaded(
                f"{len(self._calls)} requests are in flight on this connection already",
                what="requests in flight", limit=MAX_OUTSTANDING, current=len(self._calls),
            )  # fmt: skip
        if timeout is not None and timeout > _LONGEST_TIMEOUT_S:
            timeout = None  # the wire's milliseconds go round after 49 days
        deadline = None if timeout is None else time.monotonic() + timeout
        deadline_ms = 0 if deadline is None else self.clock.deadline_ms(deadline)
        if len(body) > self.compress_above:
            route, body = self._compress(route, body)
        sequence = self._calls.add(waiter, deadline)
        size = META_SIZE + len(body)
        head = HEADER_META.pack(size, route, key, self.source, sequence, deadline_ms, epoch, trace)
        try:
            self.send_frame(head, body)
        except LuabusError:
            self._calls.settle(sequence)
            raise
        if len(self.out) >= 2 * PORTION:  # head and body
            self.flush()
        if deadline is not None and (self._call_timer is None or deadline < self._call_at):
            self._watch_calls(deadline)
        return sequence

    def settle_call(self, sequence: int) -> Any:
        """Stop waiting for a call that is answered; returns its waiter, None when it was not pending."""
        return self._calls.settle(sequence)

    def give_up(self, sequence: int) -> None:
        """Stop waiting for a call that is not answered, and tell whoever has it."""
        if self._calls.settle(sequence) is not None:
            self.send_owed(make_route(Kind.CANCEL), 0, sequence)

    def reply(self, route: int, sequence: int, body: bytes) -> None:
        """Send an answer. Raises `FrameTooLarge` when the other end would not take it."""
        limit = min(self.body_limit, self.send_limit)
        if len(body) > limit:
            raise self.too_large(len(body), limit)
        if len(body) > self.compress_above:
            route, body = self._compress(route, body)
        self.send_owed(route, 0, sequence, body)

    def _compress(self, route: int, body: bytes) -> tuple[int, bytes]:
        if len(body) > self.body_limit:
            raise self.too_large(len(body), self.body_limit)
        packed = compress(body)
        return (route, body) if packed is None else (route | FLAG_COMPRESSED << 8, packed)

    def body_of(self, route: int, body: bytes) -> bytes:
        """The body of a frame that came here, plain. Raises `FrameTooLarge` or `ProtocolError`."""
        return decompress(body, self.frame_limit) if route >> 8 & FLAG_COMPRESSED else body

    def reply_error(self, source: int, sequence: int, error: LuabusError) -> None:
        """Answer the request `sequence` of `source` with `error`."""
        if self._mgr.switch.routing:
            self.note(f"{type(error).__name__}: {error}")
        body = codec.pack_value(error.to_wire())
        if len(body) > min(self.body_limit, self.send_limit, _LONGEST_ERROR):
            text = f"{error.message[:1000]} ... (an error of {len(body)} bytes)"
            body = codec.pack_value([type(error).__name__, text, {}])
        self.send_owed(make_route(Kind.ERROR, 0, 0, source), 0, sequence, body)

    def dismiss(self, error: LuabusError) -> None:
        """Close, and tell the peer why."""
        self.out.append(encode_bye(error))
        self.close()

    # --- receiving --------------------------------------------------------------------------------------------

    def deliver(
        self, route: int, key: int, source: int, sequence: int, data: bytes, start: int, end: int
    ) -> None:
        if self._closed_at:
            return
        kind = route & 0xFF
        if _CALL <= kind < _REPLY:
            receiver = self.words if kind == _CALL and self.words is not None else self.receiver
            if receiver is not None:
                receiver.take(self, route, source, sequence, data, start, end)
            else:
                self._plain_call(route, source, sequence, data, start, end)
        elif kind >= _REPLY:
            if kind <= _ERROR:
                self._answer(route, source, sequence, data[start:end])
            elif kind == _CANCEL:
                if self._mgr.switch.routing:
                    self._mgr.switch.cancel(self, sequence)
                if self.receiver is not None:
                    self.receiver.cancel(self, source, sequence)
            elif kind == _REACHED:
                gather = self._calls.peek(sequence)
                if gather is not None and not isinstance(gather, asyncio.Future):
                    gather.reached(key, data[start:end])
        elif kind == _PING:
            self.frames_in -= 1  # the switch counts every frame; heartbeats are no messages
            self.reported_rtt_us = sequence
            now_ms = int(self.last_received * 1000) & 0xFFFF_FFFF
            self.send_owed(make_route(Kind.PONG, destination=now_ms), key, 0, self._mgr.switch.digests())
            if self.on_ping is not None:
                self.on_ping(self, data[start:end])
        elif kind == _PONG:
            self.frames_in -= 1
            self._pong_stamp = key
            self.clock.pong(key, route >> 32, time.monotonic())
            self.pongs.release()
            if self.on_pong is not None:
                self.on_pong(self, data[start:end])
        elif kind == _BYE:
            raise decode_bye(data[start:end])
        else:
            raise ProtocolError(f"{Kind(kind).name} came on an open stream")

    def _answer(self, route: int, source: int, sequence: int, body: bytes) -> None:
        waiter = self._calls.peek(sequence)
        if waiter is None:
            return
        result: Any
        try:
            result = codec.unpack_value(self.body_of(route, body) if route & _COMPRESSED else body)
            if route & 0xFF == _ERROR:
                result = from_wire(result)
        except (ProtocolError, FrameTooLarge) as error:
            result = error
        if not isinstance(waiter, asyncio.Future):
            waiter.answer(source, result)  # a gather settles itself, when all have answered
            return
        self._calls.settle(sequence)
        if waiter.done():
            return
        self._answered = True
        if isinstance(result, LuabusError):
            waiter.set_exception(result)
        else:
            waiter.set_result(result)

    def _plain_call(self, route: int, source: int, sequence: int, data: bytes, start: int, end: int) -> None:
        flags = route >> 8
        if flags & FLAG_META:
            start += META_SIZE
        wanted = flags & FLAG_REQUEST
        try:
            msg, *args = codec.unpack_call(self.body_of(route, data[start:end]))
        except (ProtocolError, FrameTooLarge) as error:
            if route & 0xFF == Kind.CALL:
                raise
            if wanted:  # it came through a router: its sender is to blame, not the stream
                self.reply_error(source, sequence, error)
            return
        if not wanted and route & 0xFF == Kind.CALL and msg.startswith(_OWN_WORDS):
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
        except Exception as error:
            failure = error if isinstance(error, LuabusError) else RemoteError.of(error, msg, "this process")
            self.reply_error(source, sequence, failure)
        else:
            if asyncio.iscoroutine(result):
                self._mgr.spawn(self._answer_later(result, msg, source, sequence))
            else:
                self._answer_with(result, source, sequence)

    async def _answer_later(
        self, work: Coroutine[Any, Any, Any], msg: str, source: int, sequence: int
    ) -> None:
        try:
            result = await work
        except Exception as error:
            failure = error if isinstance(error, LuabusError) else RemoteError.of(error, msg, "this process")
            self.reply_error(source, sequence, failure)
        else:
            self._answer_with(result, source, sequence)

    def _answer_with(self, result: Any, source: int, sequence: int) -> None:
        try:
            self.reply(make_route(Kind.REPLY, 0, 0, source), sequence, codec.pack_value(result))
        except LuabusError as error:
            self.reply_error(source, sequence, error)

    # --- time -------------------------------------------------------------------------------------------------

    def start_heartbeat(self, interval_s: float = HEARTBEAT_S, missed: int = HEARTBEATS_MISSED) -> None:
        """Ping each `interval_s` seconds; break with "timeout" when `missed` of them brought nothing."""
        if self._closed_at:
            return
        self._heartbeat_s = interval_s
        self.set_timeout(int(interval_s * (missed + 0.5) * 1000))
        self._beat()

    def _beat(self) -> None:
        self._heartbeat_timer = self._mgr.loop.call_later(self._heartbeat_s, self._beat)
        self.ping()

    def ping(self) -> int:
        """Send a PING now; its PONG renews `clock`, releases `pongs` and calls `on_pong`. Returns its stamp for `heard`."""
        body = self.ping_body() if self.ping_body is not None else b""
        rtt_us = min(int(self.clock.rtt_s * 1_000_000), 0xFFFF_FFFF)
        stamp = self.clock.stamp(time.monotonic())
        self.send_owed(make_route(Kind.PING), stamp, rtt_us, body)
        return stamp

    async def heard(self, stamp: int) -> None:
        """Wait until the peer has answered the PING with this stamp or a later one, or the stream is closed."""
        while self.is_open and (self._pong_stamp is None or self._pong_stamp - stamp & 0x8000_0000):
            await self.pongs.wait()

    def remaining_s(self, deadline_ms: int) -> float | None:
        """Seconds until a deadline off this stream; None when there is none."""
        return self.clock.remaining_s(deadline_ms, time.monotonic())

    def _watch_calls(self, deadline: float) -> None:
        if self._call_timer is not None:
            self._call_timer.cancel()
        self._call_at = deadline
        delay = max(0.0, deadline - time.monotonic())
        self._call_timer = self._mgr.loop.call_later(delay, self._expire_calls)

    def _expire_calls(self) -> None:
        self._call_timer = None
        for sequence, waiter in self._calls.expire(time.monotonic()):
            self.send_owed(make_route(Kind.CANCEL), 0, sequence)
            if not isinstance(waiter, asyncio.Future):
                waiter.expired()
            elif not waiter.done():
                waiter.set_exception(TimeoutError())
        following = self._calls.next_deadline()
        if following is not None:
            self._watch_calls(following)

    # --- opening and ending -----------------------------------------------------------------------------------

    def opened(self) -> None:
        self._mgr.opened(self)
        if self.on_connect is not None:
            self._mgr.event(self.on_connect, "ok")

    def ended(self, error: LuabusError | None, text: str, *, was_open: bool) -> None:
        for timer in (self._call_timer, self._heartbeat_timer):
            if timer is not None:
                timer.cancel()
        why = str(error) if error else "this side closed the connection"
        for _, waiter in self._calls.drain():
            lost = self.lost_error(
                f"{self.label} was lost while the request was in flight: {why}", peer=self.label, reason=why
            )
            if not isinstance(waiter, asyncio.Future):
                waiter.lost(lost)
            elif not waiter.done():
                waiter.set_exception(lost)
        self.pongs.release()
        if self.receiver is not None:
            self.receiver.stream_closed(self)
        if self.on_close is not None:
            self.on_close(self, error)
        self._mgr.switch.table.lost(self)  # nothing more is routed to it, also where no router sees to that
        if error is not None:
            reason = Reason.of(error, text)
            if self._connector and not was_open and self.on_connect is not None:
                self._mgr.event(self.on_connect, reason)
            elif self.on_error is not None:
                self._mgr.event(self.on_error, reason)


def late(route: str, timeout: float | None) -> RequestTimeout:
    """The error for a request that nobody answered in time."""
    return RequestTimeout(f"no answer from {route} within {timeout:.4g} s", route=route, timeout_s=timeout)
