"""One connection: an asyncio shell around handshake, switch and calls.

Life of a stream: connecting -> shaking hands -> open -> closed. `on_connect` is called once with "ok" or the reason why not;
after "ok", `on_error` is called once if the stream breaks, and never if this side closed it. Both get a `Reason`: a str, with
the typed error in `.error`.

What is sent within one iteration of the event loop goes out in one write.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from luabus import codec
from luabus.calls import Calls
from luabus.errors import (
    FrameTooLarge,
    LuabusError,
    NotConnected,
    Overloaded,
    PeerLost,
    ProtocolError,
    Refused,
    RequestTimeout,
    UnknownMethod,
    from_wire,
)
from luabus.frames import (
    FLAG_META,
    FLAG_REQUEST,
    HEADER,
    HEADER_META,
    HEADER_SIZE,
    META,
    META_SIZE,
    Kind,
    make_route,
)
from luabus.handshake import Handshake, farewell, goodbye
from luabus.hashing import hash_key
from luabus.ids import ServiceId, parse_group
from luabus.limits import (
    DEFAULT_STREAM_BUFFER,
    HANDSHAKE_TIMEOUT_S,
    HEARTBEAT_S,
    HEARTBEATS_MISSED,
    MAX_FRAME_LIMIT,
    MAX_OUTSTANDING,
    REQUEST_TIMEOUT_S,
    STUCK_TIMEOUT_S,
)
from luabus.switch import Port

if TYPE_CHECKING:
    from luabus.socket_mgr import SocketMgr

log = logging.getLogger("luabus.stream")

CALL_ROUTE = make_route(Kind.CALL)
REQUEST_ROUTE = make_route(Kind.CALL, FLAG_REQUEST | FLAG_META)
_REPLY, _ERROR, _REACHED, _CANCEL = int(Kind.REPLY), int(Kind.ERROR), int(Kind.REACHED), int(Kind.CANCEL)
_HIGH_WATER = 64 * 1024
_GATHER = 128 * 1024
"""Bytes gathered at most before they are handed to the transport, also when the sender never lets the loop run."""


class Reason(str):
    """Why a stream did not open or broke: "timeout", "closed by peer", "ProtocolError: ...". `error` is the typed one."""

    __slots__ = ("error",)
    error: LuabusError

    @classmethod
    def of(cls, error: LuabusError, text: str = "") -> Reason:
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


class Stream(Port, asyncio.Protocol):
    """A connection to another process. Made by `SocketMgr.connect` and given to a listener's `on_accept`.

    Set `on_call(msg, *args)`, `on_error(reason)`, and `on_connect("ok" | reason)` as attributes.
    """

    __slots__ = (
        "__weakref__",
        "_call_at",
        "_call_timer",
        "_calls",
        "_clock_samples",
        "_closed_at",
        "_connector",
        "_drain_waiters",
        "_flush_below",
        "_flushing",
        "_handshake",
        "_heartbeat_s",
        "_heartbeat_timer",
        "_mgr",
        "_open_timer",
        "_open_waiters",
        "_opened",
        "_paused",
        "_rest",
        "_rest_need",
        "_rest_size",
        "_send_limit",
        "_stuck_mark",
        "_stuck_timer",
        "_timeout_s",
        "_timeout_timer",
        "_transport",
        "body_limit",
        "clock_offset_ms",
        "close_waiters",
        "connected_at",
        "last_received",
        "leaning",
        "lost_error",
        "name",
        "on_call",
        "on_close",
        "on_connect",
        "on_error",
        "on_pong",
        "peer",
        "pong_waiters",
        "receiver",
        "reported_rtt_us",
        "rtt_s",
        "source",
    )  # fmt: skip

    def __init__(self, mgr: SocketMgr, token: int, *, connector: bool) -> None:
        super().__init__(token, DEFAULT_STREAM_BUFFER, DEFAULT_STREAM_BUFFER)
        self._mgr = mgr
        self._connector = connector
        self._send_limit = DEFAULT_STREAM_BUFFER
        self._flush_below = 0
        self.body_limit = (
            MAX_FRAME_LIMIT  # what the peer said it takes, see `Link`; the send buffer limits as well
        )
        self._transport: asyncio.Transport | None = None
        self._handshake: Handshake | None = Handshake(
            connector=connector, secret=mgr.secret, nonce=mgr.nonce(), given_id=0 if connector else self.id
        )
        self._rest: list[bytes] = []
        self._rest_size = self._rest_need = 0
        self._calls: Calls[Any] = Calls()
        self._call_timer: asyncio.TimerHandle | None = None
        self._call_at = 0.0
        self._timeout_s = 0.0
        self._timeout_timer: asyncio.TimerHandle | None = None
        self._stuck_timer: asyncio.TimerHandle | None = None
        self._stuck_mark = 0
        self._heartbeat_s = 0.0
        self._heartbeat_timer: asyncio.TimerHandle | None = None
        self._open_timer: asyncio.TimerHandle | None = None
        self._clock_samples: list[tuple[float, float]] = []
        self._opened = self._paused = self._flushing = False
        self._closed_at = 0.0
        self._drain_waiters: list[asyncio.Future[None]] = []
        self._open_waiters: list[asyncio.Future[None]] = []
        self.close_waiters: list[asyncio.Future[None]] = []
        self.pong_waiters: list[asyncio.Future[None]] = []
        self.leaning = False  # the peer forwards through us (routers)
        self.connected_at = self.last_received = time.monotonic()
        self.clock_offset_ms: float | None = (
            None if connector else 0.0
        )  # deadlines are in the acceptor's clock
        self.rtt_s = 0.0
        self.reported_rtt_us = 0
        self.source = 0
        self.name = ""
        self.peer: tuple[str, int] = ("", 0)
        self.lost_error: type[PeerLost] | Callable[..., LuabusError] = PeerLost
        self.receiver: Receiver | None = None
        self.on_connect: Callable[[Reason | str], Any] | None = None
        self.on_call: Callable[..., Any] | None = None
        self.on_error: Callable[[Reason], Any] | None = None
        self.on_close: Callable[[Stream, LuabusError | None], Any] | None = None
        self.on_pong: Callable[[Stream, int], Any] | None = None

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed" if self._closed_at else "connecting"
        return f"<Stream {self.token} {self.name or self.ip} {state}>"

    # --- what was asked for -----------------------------------------------------------------------------------

    @property
    def ip(self) -> str:
        """The peer's address, "" before the connection stands."""
        return self.peer[0]

    @property
    def is_open(self) -> bool:
        """Handshake done, not closed."""
        return self._opened and not self._closed_at

    @property
    def is_paused(self) -> bool:
        """The peer takes less than is sent: `await drained()`."""
        return self._paused

    def call(self, msg: str, *args: Any) -> None:
        """Send a one-way message to the other end.

        What is sent before the stream is open goes out when it is. Raises `BadArguments`, `FrameTooLarge`, `Overloaded` (the send
        buffer is full) or `NotConnected` (closed); nothing is sent then.
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

    @property
    def send_limit(self) -> int:
        """Bytes that are kept at most for a peer that does not read."""
        return self._send_limit

    def set_timeout(self, ms: int) -> None:
        """Break the stream with "timeout" when nothing arrives for `ms` milliseconds; 0 (the default) = never."""
        if ms < 0:
            raise Refused(f"a time-out of {ms} ms; 0 means never")
        self._timeout_s = ms / 1000
        if self._timeout_timer is not None:
            self._timeout_timer.cancel()
            self._timeout_timer = None
        if ms:
            self.last_received = max(self.last_received, time.monotonic() - self._timeout_s / 2)
            self._watch_silence()

    def set_nodelay(self, enabled: bool = True) -> None:
        """TCP_NODELAY; on by default."""
        sock = self._socket()
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(enabled))

    def set_recv_buffer_size(self, size: int) -> None:
        """Bytes of the longest message taken, header included; default 64 KiB. A longer one ends the stream."""
        self.frame_limit = self._check_size(size) - HEADER_SIZE

    def set_send_buffer_size(self, size: int) -> None:
        """Bytes kept for a peer that does not read, default 64 KiB; beyond, `call` raises `Overloaded`. A message larger than
        this cannot be sent at all (`FrameTooLarge`)."""
        self.room += self._check_size(size) - self._send_limit
        self._flush_below = max(0, self.room - _GATHER)
        self._send_limit = size
        self._set_water_marks()

    @staticmethod
    def _check_size(size: int) -> int:
        if not HEADER_SIZE * 2 <= size <= MAX_FRAME_LIMIT:
            raise Refused(f"a buffer of {size} bytes; {HEADER_SIZE * 2} to {MAX_FRAME_LIMIT} are possible")
        return size

    def close(self) -> None:
        """Close this side, after what was sent before. No callback follows; requests in flight fail with `PeerLost`."""
        self._end(None)

    # --- more of it -------------------------------------------------------------------------------------------

    async def connected(self) -> None:
        """Wait until the stream is open. Raises why it did not open. Cancelling loses nothing."""
        if not self._opened and not self._closed_at:
            waiter: asyncio.Future[None] = self._mgr.loop.create_future()
            self._open_waiters.append(waiter)
            await waiter
        elif self._closed_at:
            raise NotConnected("the stream is closed")

    async def drained(self) -> None:
        """Wait until the peer has taken most of what was sent: `await` it to be slowed instead of `Overloaded`."""
        self.flush()
        if self._paused and not self._closed_at:
            waiter: asyncio.Future[None] = self._mgr.loop.create_future()
            self._drain_waiters.append(waiter)
            await waiter

    async def closed(self) -> None:
        """Wait until the connection is gone."""
        if self._transport is not None or self._handshake is not None:
            waiter: asyncio.Future[None] = self._mgr.loop.create_future()
            self.close_waiters.append(waiter)
            await waiter

    async def request(self, msg: str, *args: Any, timeout: float | None = REQUEST_TIMEOUT_S) -> Any:
        """Call the process at the other end and return what its handler returns.

        Raises what the handler raised (`RemoteError`), `UnknownMethod`, `RequestTimeout` after `timeout` seconds, `PeerLost`, and
        what `call` raises. Cancelling tells the other end to stop.
        """
        return await self.ask(
            REQUEST_ROUTE, 0, codec.pack_call(msg, args), timeout, lambda: f"{msg} at {self.name or self.ip}"
        )

    # --- sending ----------------------------------------------------------------------------------------------

    def post(self, route: int, key: int, body: bytes, trace: int = 0, epoch: int = 0) -> None:
        """Send one frame whose answer nobody awaits; meta is written when there is a trace or an epoch."""
        if trace or epoch:
            head = HEADER_META.pack(
                META_SIZE + len(body), route | FLAG_META << 8, key, self.source, 0, 0, epoch, trace
            )
        else:
            head = HEADER.pack(len(body), route, key, self.source, 0)
        self._append(head, body)

    def reply(self, route: int, sequence: int, body: bytes) -> None:
        """Send an answer. Answers pass even when the buffer is full: they are bounded by the requests in flight."""
        if self._closed_at:
            return
        if not self.out:
            self._schedule_flush()
        self.out.append(HEADER.pack(len(body), route, 0, self.source, sequence) + body)
        self.room -= HEADER_SIZE + len(body)
        self.frames_out += 1

    async def ask(
        self, route: int, key: int, body: bytes, timeout: float | None, describe: Callable[[], str],
        trace: int = 0, epoch: int = 0,
    ) -> Any:  # fmt: skip
        """Send a request frame (`route` has REQUEST and META set) and wait for its answer."""
        waiter = self._mgr.loop.create_future()
        sequence = self.start_call(waiter, route, key, body, timeout, trace, epoch)
        try:
            return await waiter
        except TimeoutError:
            raise RequestTimeout(
                f"no answer from {describe()} within {timeout:.4g} s", route=describe(), timeout_s=timeout
            ) from None
        except asyncio.CancelledError:
            if self._calls.settle(sequence) is not None:
                self.send_cancel(sequence)
            raise

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
        """Send a request frame; `waiter` gets the answer. Returns the sequence."""
        if len(self._calls) >= MAX_OUTSTANDING:
            raise Overloaded(
                f"{len(self._calls)} requests are in flight on this connection already",
                what="requests in flight", limit=MAX_OUTSTANDING, current=len(self._calls),
            )  # fmt: skip
        deadline_ms = 0
        deadline = None
        if timeout is not None:
            deadline = time.monotonic() + timeout
            if self.clock_offset_ms is not None:
                deadline_ms = int(deadline * 1000 + self.clock_offset_ms) + 1 & 0xFFFF_FFFF
        sequence = self._calls.add(waiter, deadline)
        head = HEADER_META.pack(
            META_SIZE + len(body), route, key, self.source, sequence, deadline_ms, epoch, trace
        )
        try:
            self._append(head, body)
        except LuabusError:
            self._calls.settle(sequence)
            raise
        if deadline is not None and (self._call_timer is None or deadline < self._call_at):
            self._watch_calls(deadline)
        return sequence

    def settle_call(self, sequence: int) -> Any:
        """Stop waiting for a call; returns its waiter, None when it was not pending."""
        return self._calls.settle(sequence)

    def send_cancel(self, sequence: int) -> None:
        """Tell whoever has our request `sequence` that nobody waits for it."""
        self.send_control(make_route(Kind.CANCEL), 0, sequence)

    def send_control(self, route: int, key: int = 0, sequence: int = 0, body: bytes = b"") -> None:
        """Send a frame of the protocol's own; dropped when the stream is closed."""
        if not self._closed_at:
            if not self.out:
                self._schedule_flush()
            self.out.append(HEADER.pack(len(body), route, key, self.source, sequence) + body)

    def _append(self, head: bytes, body: bytes) -> None:
        size = len(head) + len(body)
        if len(body) > self.body_limit:
            raise self._too_large(len(body), self.body_limit)
        if self.room - size < self._flush_below:
            self._make_room(size)
        elif self._closed_at:
            raise NotConnected("the stream is closed")
        out = self.out
        if not out:
            self._schedule_flush()
        out.append(head)
        out.append(body)
        self.room -= size
        self.frames_out += 1

    def _make_room(self, size: int) -> None:
        if self._closed_at:
            raise NotConnected("the stream is closed")
        if size > self._send_limit:
            raise FrameTooLarge(
                f"the message takes {size} bytes; the limit of this stream is {self._send_limit}",
                size=size, limit=self._send_limit,
            )  # fmt: skip
        self.flush()
        if size > self.room:
            used = self._send_limit - self.room
            raise Overloaded(
                f"{used} of {self._send_limit} bytes wait for {self.name or self.ip or 'the peer'} already;"
                f" this message has {size}",
                what="bytes in the send buffer", limit=self._send_limit, current=used,
            )  # fmt: skip

    def _too_large(self, size: int, limit: int) -> FrameTooLarge:
        text = f"the message takes {size} bytes; at most {limit} can be sent to {self.name or self.ip or 'the peer'}"
        return FrameTooLarge(text, size=size, limit=limit)

    def _schedule_flush(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._mgr.loop.call_soon(self._flush_soon)

    def _flush_soon(self) -> None:
        self._flushing = False
        self.flush()

    def flush(self) -> None:
        """Hand everything gathered to the transport, and see how much room that leaves."""
        out = self.out
        transport = self._transport
        if not self._opened or transport is None:
            return
        if out:
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            self.bytes_out += len(data)
            transport.write(data)
        self.room = self._send_limit - transport.get_write_buffer_size()
        self._flush_below = max(0, self.room - _GATHER)

    # --- receiving --------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.last_received = time.monotonic()
        self.bytes_in += len(data)
        if self._rest:
            self._rest.append(data)
            self._rest_size += len(data)
            if self._rest_size < self._rest_need:
                return
            data = b"".join(self._rest)
            self._rest.clear()
        elif type(data) is not bytes:
            data = bytes(data)
        try:
            if self._handshake is not None:
                data = self._shake(data)
                if self._handshake is not None or not data:
                    self._keep(data, 0)
                    return
            switch = self._mgr.switch
            try:
                taken = switch.receive(self, data)
            finally:
                if switch.dirty:
                    self._mgr.flush_dirty()
        except LuabusError as error:
            self._end(error, say=True)
            return
        if not self._closed_at:
            self._keep(data, taken)

    def _keep(self, data: bytes, taken: int) -> None:
        rest = len(data) - taken
        if rest <= 0:
            return
        self._rest.append(data[taken:] if taken else data)
        self._rest_size = rest
        self._rest_need = HEADER_SIZE
        if rest >= HEADER_SIZE and self._handshake is None:
            self._rest_need += int.from_bytes(data[taken : taken + 4], "little")

    def _shake(self, data: bytes) -> bytes:
        handshake = self._handshake
        transport = self._transport
        assert handshake is not None
        assert transport is not None
        send, taken = handshake.receive(data)
        if send:
            transport.write(send)
        if handshake.done:
            self._handshake = None
            if handshake.connector:
                self.source = handshake.given_id
            self._open()
        return data[taken:]

    def _open(self) -> None:
        self._opened = True
        self.connected_at = time.monotonic()
        if self._open_timer is not None:
            self._open_timer.cancel()
            self._open_timer = None
        self._mgr.opened(self)
        for waiter in self._open_waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._open_waiters.clear()
        if self.on_connect is not None:
            self._mgr.event(self.on_connect, "ok")
        self.flush()

    def deliver(
        self, route: int, key: int, source: int, sequence: int, data: bytes, start: int, end: int
    ) -> None:
        kind = route & 0xFF
        if kind >= _REPLY:
            if kind <= _ERROR:
                self._answer(kind, source, sequence, data[start:end])
            elif kind == _CANCEL:
                if self._mgr.switch.routing:
                    self._mgr.switch.cancel(self, sequence)
                if self.receiver is not None:
                    self.receiver.cancel(self, source, sequence)
            elif kind == _REACHED:
                gather = self._calls.peek(sequence)
                if gather is not None:
                    gather.reached(key, data[start:end])
        elif kind >= Kind.CALL:
            if self.receiver is not None:
                self.receiver.take(self, route, source, sequence, data, start, end)
            else:
                self._plain_call(route, source, sequence, data, start, end)
        elif kind == Kind.PING:
            self.reported_rtt_us = sequence
            now_ms = int(time.monotonic() * 1000) & 0xFFFF_FFFF
            self.send_control(make_route(Kind.PONG, destination=now_ms), key, self._mgr.switch.table.digest())
        elif kind == Kind.PONG:
            self._pong(key, route >> 32, sequence)
        elif kind == Kind.BYE:
            raise farewell(data[start:end])
        else:
            raise ProtocolError(f"{Kind(kind).name} came on an open stream")

    def _answer(self, kind: int, source: int, sequence: int, body: bytes) -> None:
        waiter = self._calls.peek(sequence)
        if waiter is None:
            return
        result: Any
        try:
            result = codec.unpack_value(body)
        except ProtocolError as error:
            result = error
        else:
            if kind == _ERROR:
                result = from_wire(result)
        if not isinstance(waiter, asyncio.Future):
            waiter.answer(source, result)  # a gather settles itself, when all have answered
            return
        self._calls.settle(sequence)
        if waiter.done():
            return
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
            msg, *args = codec.unpack_call(data[start:end])
        except ProtocolError as error:
            if route & 0xFF == Kind.CALL:
                raise
            # It came through a router: its sender is to blame, not the stream.
            if wanted:
                self.reply_error(source, sequence, error)
            return
        if self.on_call is None:
            if wanted:
                self.reply_error(source, sequence, UnknownMethod(f"nobody handles {msg!r} here", method=msg))
            return
        result = self._mgr.event(self.on_call, msg, *args)
        if wanted:
            try:
                self.reply(make_route(Kind.REPLY, 0, 0, source), sequence, codec.pack_value(result))
            except LuabusError as error:
                self.reply_error(source, sequence, error)

    def reply_error(self, source: int, sequence: int, error: LuabusError) -> None:
        """Answer the request `sequence` of `source` with `error`."""
        self.reply(make_route(Kind.ERROR, 0, 0, source), sequence, codec.pack_value(error.to_wire()))

    # --- time -------------------------------------------------------------------------------------------------

    def start_heartbeat(self, interval_s: float = HEARTBEAT_S, missed: int = HEARTBEATS_MISSED) -> None:
        """Ping each `interval_s` seconds; break with "timeout" when `missed` of them brought nothing."""
        self._heartbeat_s = interval_s
        self.set_timeout(int(interval_s * missed * 1000 + interval_s * 500))
        self._beat()

    def _beat(self) -> None:
        self._heartbeat_timer = self._mgr.loop.call_later(self._heartbeat_s, self._beat)
        self.ping()

    def ping(self) -> None:
        """Send a PING now; its PONG updates `rtt_s` and `clock_offset_ms`, and calls `on_pong`."""
        key = int(time.monotonic() * 1_000_000) & 0xFFFF_FFFF
        self.send_control(make_route(Kind.PING), key, min(int(self.rtt_s * 1_000_000), 0xFFFF_FFFF))

    def _pong(self, key: int, clock_ms: int, digest: int) -> None:
        now = time.monotonic()
        self.rtt_s = (int(now * 1_000_000) - key & 0xFFFF_FFFF) / 1_000_000
        offset = float(clock_ms) - (now - self.rtt_s / 2) * 1000
        # Of the last ten samples the one with the shortest way is the most exact.
        if self._connector:
            self._clock_samples = [*self._clock_samples[-9:], (self.rtt_s, offset)]
            self.clock_offset_ms = min(self._clock_samples)[1]
        self._release(self.pong_waiters)
        if self.on_pong is not None:
            self.on_pong(self, digest)

    def remaining_s(self, deadline_ms: int) -> float | None:
        """Seconds until a deadline given in the peer's clock; None when there is none or the clock is not known yet."""
        if not deadline_ms or self.clock_offset_ms is None:
            return None
        left = deadline_ms - int(time.monotonic() * 1000 + self.clock_offset_ms) & 0xFFFF_FFFF
        return (left - (1 << 32) if left >> 31 else left) / 1000

    def _watch_silence(self) -> None:
        left = self.last_received + self._timeout_s - time.monotonic()
        if left <= 0:
            timeout_ms = int(self._timeout_s * 1000)
            error = RequestTimeout(f"nothing was received for {timeout_ms} ms", timeout_s=self._timeout_s)
            self._end(error, "timeout", abort=True)
        else:
            self._timeout_timer = self._mgr.loop.call_later(left, self._watch_silence)

    def _watch_calls(self, deadline: float) -> None:
        if self._call_timer is not None:
            self._call_timer.cancel()
        self._call_at = deadline
        delay = max(0.0, deadline - time.monotonic())
        self._call_timer = self._mgr.loop.call_later(delay, self._expire_calls)

    def _expire_calls(self) -> None:
        self._call_timer = None
        for sequence, waiter in self._calls.expire(time.monotonic()):
            self.send_cancel(sequence)
            if not isinstance(waiter, asyncio.Future):
                waiter.expired()
            elif not waiter.done():
                waiter.set_exception(TimeoutError())
        following = self._calls.next_deadline()
        if following is not None:
            self._watch_calls(following)

    # --- asyncio.Protocol -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's has the methods, not the class
        if self._closed_at:
            transport.abort()
            return
        self._transport = transport
        address = transport.get_extra_info("peername")
        self.peer = (
            (str(address[0]), int(address[1])) if isinstance(address, tuple) else (str(address or ""), 0)
        )
        self.last_received = time.monotonic()
        sock = self._socket()
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STUCK_TIMEOUT_S * 1000))
        self.set_nodelay()
        self._set_water_marks()
        self._open_timer = self._mgr.loop.call_later(HANDSHAKE_TIMEOUT_S, self._shake_late)
        assert self._handshake is not None
        start = self._handshake.start()
        if start:
            transport.write(start)

    def _shake_late(self) -> None:
        error = ProtocolError(f"no handshake within {HANDSHAKE_TIMEOUT_S:g} s")
        self._end(error, abort=True)

    def connect_failed(self, error: LuabusError, text: str = "") -> None:
        """The connection did not come about; `SocketMgr.connect` calls this."""
        self._end(error, text)
        self.connection_lost(None)

    def eof_received(self) -> bool:
        if self._rest and not self._closed_at:
            self._end(
                ProtocolError(
                    f"closed in the middle of a frame: {self._rest_size} of {self._rest_need} bytes"
                )
            )
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        reason = "closed by peer" if exc is None else f"{type(exc).__name__}: {exc}"
        self._end(
            PeerLost(f"the connection to {self.name or self.ip} ended: {reason}", reason=reason), reason
        )
        transport, self._transport, self._handshake = self._transport, None, None
        self._release(self.close_waiters)
        self._mgr.gone(self, transport)

    def pause_writing(self) -> None:
        self._paused = True
        self._stuck_mark = self.bytes_out
        self._stuck_timer = self._mgr.loop.call_later(STUCK_TIMEOUT_S, self._check_stuck)

    def resume_writing(self) -> None:
        self._paused = False
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None
        if self._transport is not None:
            self.room = self._send_limit - self._transport.get_write_buffer_size()
        self._release(self._drain_waiters)

    def _check_stuck(self) -> None:
        """Writing has been paused for a while: cut the peer off unless it took something since."""
        if self._transport is None:
            return
        taken = self.bytes_out - self._transport.get_write_buffer_size()
        if taken > self._stuck_mark:
            self._stuck_mark = taken
            self._stuck_timer = self._mgr.loop.call_later(STUCK_TIMEOUT_S, self._check_stuck)
        else:
            waiting = self._transport.get_write_buffer_size()
            error = Overloaded(
                f"the peer read nothing for {STUCK_TIMEOUT_S:g} s while {waiting} bytes waited for it",
                what="bytes in the send buffer", limit=self._send_limit, current=waiting,
            )  # fmt: skip
            self._end(error, abort=True)

    # --- ending -----------------------------------------------------------------------------------------------

    def _end(
        self, error: LuabusError | None, text: str = "", *, say: bool = False, abort: bool = False
    ) -> None:
        """Close, once: `error` is None when this side wants it, else what broke. `say`: tell the peer why."""
        if self._closed_at:
            return
        was_open = self._opened
        transport = self._transport
        if transport is not None:
            if say and error is not None:
                self._opened = True
                self.send_control_now(goodbye(error))
            elif error is None:
                self.flush()
        self._closed_at = time.monotonic()
        if transport is not None:
            if abort:
                transport.abort()
            else:
                transport.close()
                if transport.get_write_buffer_size():
                    self._mgr.abort_later(transport)
        for timer in (
            self._call_timer, self._timeout_timer, self._heartbeat_timer, self._open_timer, self._stuck_timer
        ):  # fmt: skip
            if timer is not None:
                timer.cancel()
        self._mgr.switch.detach(self)
        if self._mgr.switch.dirty:
            self._mgr.flush_dirty()
        self.out.clear()
        self._rest.clear()
        self._settle_all(error)
        if self.receiver is not None:
            self.receiver.stream_closed(self)
        if self.on_close is not None:
            self.on_close(self, error)
        if error is not None:
            reason = Reason.of(error, text)
            if self._connector and not was_open and self.on_connect is not None:
                self._mgr.event(self.on_connect, reason)
            elif self.on_error is not None:
                self._mgr.event(self.on_error, reason)

    def _settle_all(self, error: LuabusError | None) -> None:
        why = str(error) if error else "this side closed the connection"
        peer = self.name or self.ip
        for _, waiter in self._calls.drain():
            lost = self.lost_error(
                f"{peer} was lost while the request was in flight: {why}", peer=peer, reason=why
            )
            if not isinstance(waiter, asyncio.Future):
                waiter.lost(lost)
            elif not waiter.done():
                waiter.set_exception(lost)
        for waiter in self._open_waiters:
            if not waiter.done():
                waiter.set_exception(error or NotConnected("the stream was closed before it was open"))
        self._open_waiters.clear()
        self._release(self._drain_waiters)
        self._release(self.pong_waiters)

    def send_control_now(self, frame: bytes) -> None:
        """Write what is gathered, and `frame` behind it."""
        self.out.append(frame)
        self.flush()

    @staticmethod
    def _release(waiters: list[asyncio.Future[None]]) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        waiters.clear()

    def _set_water_marks(self) -> None:
        if self._transport is not None:
            high = min(_HIGH_WATER, self._send_limit // 2)
            with contextlib.suppress(RuntimeError):
                self._transport.set_write_buffer_limits(high=high, low=high // 4)

    def _socket(self) -> socket.socket | None:
        if self._transport is None:
            return None
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        return sock


def read_meta(route: int, data: bytes, start: int) -> tuple[int, int, int, int]:
    """(deadline, epoch, trace, where the body starts) of a delivered frame."""
    if route >> 8 & FLAG_META:
        deadline, epoch, trace = META.unpack_from(data, start)
        return deadline, epoch, trace, start + META_SIZE
    return 0, 0, 0, start
