"""The transport under a stream: opening, buffers with limits, silence, ending. `Stream` adds calls to it.

What is sent within one iteration of the event loop goes out in one write; many requests or answers in several. Nothing is kept
without limit: `send_limit` bytes for a peer that does not read, one frame of at most `frame_limit` bytes while it arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, cast

from luabus.errors import (
    FrameTooLarge,
    LuabusError,
    NotConnected,
    Overloaded,
    PeerLost,
    ProtocolError,
    Refused,
    RequestTimeout,
)
from luabus.limits import DEFAULT_STREAM_BUFFER, HANDSHAKE_TIMEOUT_S, MAX_FRAME_LIMIT, STUCK_TIMEOUT_S
from luabus.protocol.frames import HEADER, HEADER_SIZE, Kind
from luabus.protocol.handshake import Handshake, encode_bye
from luabus.routing.port import Port, Trouble
from luabus.routing.switch import Switch
from luabus.transport.waiters import Waiters

PORTION = 32
"""So many requests, or answers, are written without waiting for the end of the loop's turn. Where many are in flight, the next
process begins on them while this one goes on; else they would go round in one convoy, with one process busy at a time."""
_LARGE = 32 * 1024
"""Bytes of a frame from which on one copy less is worth a detour."""
_HIGH_WATER = 64 * 1024
_PATIENCE_S = 1.0
"""A peer that takes nothing for so long is not waited for."""
_GATHER = 128 * 1024
"""Bytes gathered at most before they are handed to the transport, also when the sender never lets the loop run."""


class ConnectionOwner(Protocol):
    """What a wire needs of the manager that it belongs to."""

    secret: bytes | None
    switch: Switch

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that drives all."""

    def nonce(self) -> bytes:
        """32 random bytes."""

    def first_sequence(self) -> int:
        """Where the sequences of a new stream's requests begin, at random."""

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine and keep it until it is done."""

    def handled(self, frames: int) -> None:
        """So many frames were given to this process' own handlers."""

    def event(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Call a user's callback; what it raises is logged."""

    def opened(self, wire: Any) -> None:
        """A handshake is done."""

    def gone(self, wire: Any, transport: asyncio.Transport | None) -> None:
        """A connection is gone."""

    def flush_dirty(self) -> None:
        """Write what the switch has appended to other wires' buffers."""

    def abort_later(self, transport: asyncio.Transport) -> None:
        """A closed transport may take its time to write what is left, but not for ever."""


class Connection(Port, asyncio.Protocol):
    """One connection, from connecting over shaking hands and open to closed."""

    __slots__ = (
        "_answered", "_choked", "_closed_at", "_closed_waiters", "_connector", "_drained_waiters", "_flush_below", "_flushing",
        "_handshake", "_mgr", "_nodelay", "_open_timer", "_open_waiters", "_opened", "_paused", "_rest", "_rest_need",
        "_rest_size", "_stalled_mark", "_stuck_mark", "_stuck_timer", "_timeout_s", "_timeout_timer", "_transport",
        "body_limit", "connected_at", "last_error_at", "last_received", "made", "name", "peer", "source",
    )  # fmt: skip

    def __init__(self, mgr: ConnectionOwner, token: int, *, connector: bool) -> None:
        super().__init__(token, DEFAULT_STREAM_BUFFER, DEFAULT_STREAM_BUFFER)
        self._mgr = mgr
        self._connector = connector
        self._transport: asyncio.Transport | None = None
        self._handshake: Handshake | None = Handshake(
            connector=connector, secret=mgr.secret, nonce=mgr.nonce(), given_id=0 if connector else self.id
        )
        self._opened = self._paused = self._choked = self._flushing = self._answered = False
        self._nodelay = True
        self._closed_at = 0.0
        self._rest: list[bytes] = []
        self._rest_size = self._rest_need = 0
        self._flush_below = 0
        self._stalled_mark = -1
        self._stuck_mark = 0
        self._stuck_timer: asyncio.TimerHandle | None = None
        self._timeout_s = 0.0
        self._timeout_timer: asyncio.TimerHandle | None = None
        self._open_timer: asyncio.TimerHandle | None = None
        self._open_waiters = Waiters()
        self._drained_waiters = Waiters()
        self._closed_waiters = Waiters()
        self.body_limit = MAX_FRAME_LIMIT
        """Bytes of the longest body the peer takes, when it has said so; the send buffer limits as well."""
        self.connected_at = self.last_received = time.monotonic()
        self.last_error_at = 0.0
        """When `last_error` happened, in seconds since the epoch."""
        self.made: Callable[[Connection], None] | None = None
        """Called when the connection stands, before anything is received."""
        self.name = ""
        self.peer: tuple[str, int] = ("", 0)
        self.source = 0
        """The id that frames from here carry; 0 lets the other end stamp its own."""

    def note(self, trouble: Trouble) -> None:
        self.last_error = trouble
        self.last_error_at = time.time()

    # --- state ------------------------------------------------------------------------------------------------

    @property
    def ip(self) -> str:
        """The peer's address, "" before the connection stands."""
        return self.peer[0]

    @property
    def label(self) -> str:
        """What to call the other end in messages."""
        return self.name or self.ip or "the peer"

    @property
    def is_open(self) -> bool:
        """Handshake done, not closed."""
        return self._opened and not self._closed_at

    @property
    def is_stranger(self) -> bool:
        """Accepted, and nothing is known of who it is."""
        return not self._opened and not self._connector and not self._closed_at

    @property
    def has_timeout(self) -> bool:
        """Silence of the peer breaks the stream: `set_timeout`."""
        return self._timeout_s > 0

    @property
    def is_paused(self) -> bool:
        """The peer takes less than is sent: `await drained()`."""
        return self._paused

    async def connected(self) -> None:
        """Wait until the stream is open. Raises why it did not open. Cancelling loses nothing."""
        if self._closed_at:
            raise NotConnected("the stream is closed")
        if not self._opened:
            await self._open_waiters.wait()

    async def drained(self) -> None:
        """Wait until the peer has taken most of what was sent: `await` it to be slowed instead of `Overloaded`."""
        self.flush()
        if self._paused and not self._closed_at:
            await self._drained_waiters.wait()

    async def wait_writable(self) -> bool:
        """Wait for as `drained`, and for a second at most. False when there is no use in waiting: the peer has taken most of what
        was sent, or it took nothing since it was last looked at a second ago."""
        if not self._paused or self._closed_at or self._taken() == self._stalled_mark:
            return False
        mark = self._taken()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await self._drained_waiters.wait()
        if self._paused and self._taken() == mark:
            self._stalled_mark = mark
        return self._paused

    def _taken(self) -> int:
        """Bytes that the socket has taken."""
        return self.bytes_out - (
            self._transport.get_write_buffer_size() if self._transport is not None else 0
        )

    async def closed(self) -> None:
        """Wait until the connection is gone."""
        if self._transport is not None or self._handshake is not None:
            await self._closed_waiters.wait()

    # --- settings ---------------------------------------------------------------------------------------------

    def set_timeout(self, ms: int) -> None:
        """Break the stream with "timeout" when nothing arrives for `ms` milliseconds; 0 (the default) = never."""
        if ms < 0:
            raise Refused(f"a time-out of {ms} ms; 0 means never")
        self._timeout_s = ms / 1000
        if self._timeout_timer is not None:
            self._timeout_timer.cancel()
            self._timeout_timer = None
        if ms and not self._closed_at:
            self.last_received = time.monotonic()
            self._watch_silence()

    def set_nodelay(self, enabled: bool = True) -> None:
        """TCP_NODELAY; on by default."""
        self._nodelay = enabled
        sock = self._socket()
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(enabled))

    def set_recv_buffer_size(self, size: int) -> None:
        """Bytes of the longest message taken, header included; default 64 KiB. A longer one ends the stream."""
        self.frame_limit = self._check_size(size) - HEADER_SIZE

    def set_send_buffer_size(self, size: int) -> None:
        """Bytes kept for a peer that does not read, default 64 KiB; beyond, `call` raises `Overloaded`. A message larger than
        this cannot be sent at all (`FrameTooLarge`)."""
        self.room += self._check_size(size) - self.send_limit
        self.send_limit = size
        self._flush_below = max(0, self.room - _GATHER)
        self._set_water_marks()

    @staticmethod
    def _check_size(size: int) -> int:
        if not HEADER_SIZE * 2 <= size <= MAX_FRAME_LIMIT:
            raise Refused(f"a buffer of {size} bytes; {HEADER_SIZE * 2} to {MAX_FRAME_LIMIT} are possible")
        return size

    def _set_water_marks(self) -> None:
        if self._transport is not None:
            high = min(_HIGH_WATER, self.send_limit // 2)
            with contextlib.suppress(RuntimeError):  # uvloop: the transport is closing
                self._transport.set_write_buffer_limits(high=high, low=high // 4)

    def _socket(self) -> socket.socket | None:
        if self._transport is None:
            return None
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        return sock

    # --- sending ----------------------------------------------------------------------------------------------

    def send_frame(self, head: bytes, body: bytes) -> None:
        """Send a frame within the limits. Raises `FrameTooLarge`, `Overloaded` or `NotConnected`: nothing was sent then."""
        size = len(head) + len(body)
        if len(body) > self.body_limit:
            raise self.too_large(len(body), self.body_limit)
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

    def send_owed(self, route: int, key: int = 0, sequence: int = 0, body: bytes = b"") -> None:
        """Send an answer or a frame of the protocol's own, also when the buffer is full: requests in flight and heartbeats bound
        how many there can be. Dropped when the stream is closed."""
        if self._closed_at:
            return
        if not self.out:
            self._schedule_flush()
        self.out.append(HEADER.pack(len(body), route, key, self.source, sequence) + body)
        self.room -= HEADER_SIZE + len(body)
        self.owed += HEADER_SIZE + len(body)
        if len(self.out) >= PORTION:
            self.flush()
        if route & 0xFF >= Kind.CALL:  # heartbeats are no messages
            self.frames_out += 1

    def _make_room(self, size: int) -> None:
        if self._closed_at:
            raise NotConnected("the stream is closed")
        if size > self.send_limit:
            raise self.too_large(size, self.send_limit)
        self.flush()
        if size > self.room:
            used = self.send_limit - self.room
            raise Overloaded(
                f"{used} of {self.send_limit} bytes wait for {self.label} already; this message has {size}",
                what="bytes in the send buffer", limit=self.send_limit, current=used,
            )  # fmt: skip

    def too_large(self, size: int, limit: int) -> FrameTooLarge:
        """The error for a message of `size` bytes where `limit` fit."""
        text = f"the message takes {size} bytes; at most {limit} can be sent to {self.label}"
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
        waiting = transport.get_write_buffer_size()
        if not waiting:
            self.owed = 0
        self.room = room = self.send_limit - waiting
        self._flush_below = room - _GATHER if room > _GATHER else 0

    def pause_writing(self) -> None:
        self._paused = True
        self._stuck_mark = self._taken()
        self._stuck_timer = self._mgr.loop.call_later(STUCK_TIMEOUT_S, self._check_stuck)

    def resume_writing(self) -> None:
        self._paused = False
        self.owed = 0
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None
        if self._choked and self._transport is not None:
            self._choked = False
            self.last_received = time.monotonic()
            self._transport.resume_reading()
        if self._transport is not None and not self.out:
            self.room = self.send_limit - self._transport.get_write_buffer_size()
        self._drained_waiters.release()

    def _check_stuck(self) -> None:
        """Writing has been paused for a while: cut the peer off unless it took something since."""
        if self._transport is None:
            return
        waiting = self._transport.get_write_buffer_size()
        taken = self.bytes_out - waiting
        if taken > self._stuck_mark:
            self._stuck_mark = taken
            self._stuck_timer = self._mgr.loop.call_later(STUCK_TIMEOUT_S, self._check_stuck)
        else:
            error = Overloaded(
                f"the peer read nothing for {STUCK_TIMEOUT_S:g} s while {waiting} bytes waited for it",
                what="bytes in the send buffer", limit=self.send_limit, current=waiting,
            )  # fmt: skip
            self.end(error, abort=True)

    # --- receiving --------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.last_received = time.monotonic()
        self.bytes_in += len(data)
        if self._rest:
            missing = self._rest_need - self._rest_size
            if len(data) < missing:
                self._rest.append(data)
                self._rest_size += len(data)
                return
            behind = b""
            if self._rest_need > _LARGE:
                # It is put together by itself: so what follows is not copied, and a router can hand it on as it is.
                data, behind = data[:missing], data[missing:]
            self._rest.append(data)
            data = b"".join(self._rest)
            self._rest.clear()
            if behind:
                self._received(data)
                if self._closed_at:
                    return
                data = behind
        self._received(data)

    def _received(self, data: bytes) -> None:
        try:
            if self._handshake is not None:
                data = self._shake(self._handshake, data)
                if self._handshake is not None or not data:
                    self._keep(data, 0)
                    return
            switch = self._mgr.switch
            before = self.frames_in
            flushing, self._flushing = self._flushing, True  # what handlers answer at once is written below
            try:
                taken = switch.receive(self, data)
            finally:
                self._flushing = flushing
                self._mgr.handled(self.frames_in - before)
                if self.out:
                    self.flush()
                if switch.dirty:
                    self._mgr.flush_dirty()
        except LuabusError as error:
            self.end(error, say=True)
            return
        if self._closed_at:
            return
        if self._answered:
            # Behind those who now go on and may ask again: what they send is written in the same turn of the loop.
            self._answered = False
            self._schedule_flush()
        if taken < len(data):
            self._keep(data, taken)
        if self.owed > self.send_limit:
            self._choke()

    def _choke(self) -> None:
        """The answers that wait for this peer exceed its buffer: take no more from it until it has read most of them."""
        self.flush()
        if self.owed > self.send_limit and self._paused and not self._choked and self._transport is not None:
            self._choked = True
            self._transport.pause_reading()

    def _keep(self, data: bytes, taken: int) -> None:
        """Keep an incomplete frame. Its announced length has been checked, so this is at most one frame."""
        rest = len(data) - taken
        if rest <= 0:
            return
        self._rest.append(data[taken:])
        self._rest_size = rest
        self._rest_need = HEADER_SIZE
        if rest >= HEADER_SIZE:
            self._rest_need += int.from_bytes(data[taken : taken + 4], "little")

    def _shake(self, handshake: Handshake, data: bytes) -> bytes:
        send, taken = handshake.receive(data)
        if send and self._transport is not None:
            self._transport.write(send)
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
        self.opened()
        self._open_waiters.release()
        self.flush()

    def opened(self) -> None:
        """The handshake is done; for subclasses."""

    # --- asyncio.Protocol -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's has the methods, not the class
        if self._closed_at:
            transport.abort()
            return
        self._transport = transport
        address = transport.get_extra_info("peername")
        self.peer = (str(address[0]), int(address[1])) if isinstance(address, tuple) else ("", 0)
        self.last_received = time.monotonic()
        sock = self._socket()
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: half-open links end also while data waits
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STUCK_TIMEOUT_S * 1000))
        self.set_nodelay(self._nodelay)
        self._set_water_marks()
        self._open_timer = self._mgr.loop.call_later(HANDSHAKE_TIMEOUT_S, self._shake_late)
        if self._handshake is not None and self._handshake.connector:
            transport.write(self._handshake.start())
        if self.made is not None:
            self.made(self)

    def _shake_late(self) -> None:
        self.end(ProtocolError(f"no handshake within {HANDSHAKE_TIMEOUT_S:g} s"), abort=True)

    def connect_failed(self, error: LuabusError, text: str = "") -> None:
        """The connection did not come about; `SocketMgr.connect` calls this."""
        self.end(error, text, abort=True)
        if self._transport is None:
            self.connection_lost(None)

    def eof_received(self) -> bool:
        if self._rest and not self._closed_at:
            have = f"{self._rest_size} of {self._rest_need} bytes"
            self.end(ProtocolError(f"closed in the middle of a frame: {have}"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        reason = "closed by peer" if exc is None else f"{type(exc).__name__}: {exc}"
        self.end(
            PeerLost(f"the connection to {self.label} ended: {reason}", peer=self.label, reason=reason),
            reason,
        )
        transport, self._transport, self._handshake = self._transport, None, None
        self._mgr.gone(self, transport)
        self._closed_waiters.release()

    # --- ending -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close this side, after what was sent before. No callback follows; requests in flight fail with `PeerLost`."""
        self.end(None)

    def end(
        self, error: LuabusError | None, text: str = "", *, say: bool = False, abort: bool = False
    ) -> None:
        """Close, once: `error` is None when this side wants it, else what broke (`text`: its short form).

        `say` tells the peer why, with a BYE frame; `abort` does not wait for what is still to be written.
        """
        if self._closed_at:
            return
        was_open = self._opened
        transport = self._transport
        if transport is not None and not abort:
            if say and error is not None:
                if not was_open:  # what was sent before is not for a peer that has not proved itself
                    self.out.clear()
                    self._opened = True
                self.out.append(encode_bye(error))
            self.flush()
        self._closed_at = time.monotonic()
        if transport is not None:
            if abort:
                transport.abort()
            else:
                transport.close()
                if transport.get_write_buffer_size():
                    self._mgr.abort_later(transport)
        for timer in (self._timeout_timer, self._open_timer, self._stuck_timer):
            if timer is not None:
                timer.cancel()
        self._mgr.switch.detach(self)
        if self._mgr.switch.dirty:
            self._mgr.flush_dirty()
        self.out.clear()
        self._rest.clear()
        self._open_waiters.release(error or NotConnected("the stream was closed before it was open"))
        self._drained_waiters.release()
        self.ended(error, text, was_open=was_open)

    def ended(self, error: LuabusError | None, text: str, *, was_open: bool) -> None:
        """The stream is closed; for subclasses."""

    def _watch_silence(self) -> None:
        left = self.last_received + self._timeout_s - time.monotonic()
        if self._choked:  # it is us who do not read; `_check_stuck` watches the peer
            left = self._timeout_s
        if left <= 0:
            silence_ms = int(self._timeout_s * 1000)
            error = RequestTimeout(f"nothing was received for {silence_ms} ms", timeout_s=self._timeout_s)
            self.end(error, "timeout", abort=True)
        else:
            self._timeout_timer = self._mgr.loop.call_later(left, self._watch_silence)
