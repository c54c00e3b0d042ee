"""The sending half of a connection: frames into a buffer, within the limits that both ends have. Pure."""

from __future__ import annotations

from typing import Protocol

from luabus.errors import FrameTooLarge, LuabusError, NotConnected, Overloaded, wire_form
from luabus.limits import DEFAULT_STREAM_BUFFER
from luabus.protocol import codec
from luabus.protocol.compression import compress, decompress
from luabus.protocol.frames import (
    FLAG_COMPRESSED,
    FLAG_EPOCH,
    FLAG_META,
    HEADER,
    HEADER_META,
    HEADER_SIZE,
    META_SIZE,
    Kind,
    make_route,
)
from luabus.protocol.port import Port
from luabus.protocol.stream_options import StreamOptions, check_buffer
from luabus.protocol.waiting import Waiting

PORTION = 32
"""So many requests, or answers, are written without waiting for the end of the loop's turn. Where many are in flight, the next
process begins on them while this one goes on; else they would go round in one convoy, with one process busy at a time."""
GATHER = 128 * 1024
"""Bytes gathered at most before they are handed to the transport, also when the sender never lets the loop run."""
_LONGEST_ERROR = 32 * 1024
"""Bytes of an error's body; of a longer one its type and the beginning of its text travel."""


class Shell(Protocol):
    """What does the input and output of a connection."""

    def write(self, data: bytes) -> int:
        """Write `data`, which may be empty; returns how many bytes the socket has yet to take."""

    def write_soon(self) -> None:
        """The buffer is empty no longer: have it flushed when this turn of the loop ends."""

    def due_changed(self) -> None:
        """`due_at` is another."""

    def shut(self, *, abort: bool) -> None:
        """Close the connection: when everything has been written, or at once."""


class SendBuffer(Port):
    """A port that this process sends through itself, by its `shell`; nothing is written before it is open.

    `body_limit`: bytes of the longest body the peer takes; `source`: the id that frames from here carry, 0 lets the other end
    stamp its own; `name`: what to call the other end in messages.
    """

    __slots__ = (
        "_counted", "_flush_below", "_opened", "_shell", "_waiting", "body_limit", "compress_above", "is_closed", "name",
        "peer", "source",
    )  # fmt: skip

    def __init__(
        self, token: int, shell: Shell, options: StreamOptions, name: str = "", waiting: Waiting | None = None
    ) -> None:
        super().__init__(token, DEFAULT_STREAM_BUFFER, options.frame_limit)
        self._shell = shell
        self._opened = False
        self._flush_below = 0
        self._waiting = Waiting() if waiting is None else waiting
        self._counted = 0  # of its total
        self.body_limit = options.body_limit
        self.compress_above = options.compress_above
        self.is_closed = False
        self.name = name
        self.peer: tuple[str, int] = ("", 0)
        self.source = 0
        self.limit_send_buffer(options.send_buffer)

    @property
    def label(self) -> str:
        """What to call the other end in messages."""
        return self.name or self.peer[0] or "the peer"

    # --- frames -----------------------------------------------------------------------------------------------

    def post(self, route: int, key: int, body: bytes, trace: int = 0, epoch: int = 0) -> None:
        """Send one frame whose answer nobody awaits; meta is written when there is a trace or an epoch."""
        if len(body) > self.compress_above:
            route, body = self.compressed(route, body)
        if trace or epoch:
            size = META_SIZE + len(body)
            route |= (FLAG_META | FLAG_EPOCH if epoch else FLAG_META) << 8
            head = HEADER_META.pack(size, route, key, self.source, 0, 0, epoch, trace)
        else:
            head = HEADER.pack(len(body), route, key, self.source, 0)
        self.send_frame(head, body)

    def reply(self, route: int, sequence: int, body: bytes) -> None:
        """Send an answer. Raises `FrameTooLarge` when the other end would not take it."""
        limit = min(self.body_limit, self.send_limit)
        if len(body) > limit:
            raise self.too_large(len(body), limit)
        if len(body) > self.compress_above:
            route, body = self.compressed(route, body)
        self.send_reserved(route, 0, sequence, body)

    def reply_error(self, source: int, sequence: int, error: LuabusError) -> None:
        """Answer the request `sequence` of `source` with `error`."""
        name, text, fields = wire_form(error)
        body = codec.pack_value([name, text, fields])
        limit = min(self.body_limit, self.send_limit, _LONGEST_ERROR)
        if len(body) > limit:
            most = min(limit // 10, 1000)  # characters of up to four bytes
            text = f"{text[:most]} ... (an error of {len(body)} bytes)"
            body = codec.pack_value([name[:most], text, {}])
        self.send_reserved(make_route(Kind.ERROR, 0, 0, source), 0, sequence, body)

    def send_frame(self, head: bytes, body: bytes) -> None:
        """Send a frame within the limits. Raises `FrameTooLarge`, `Overloaded` or `NotConnected`: nothing was sent then."""
        size = len(head) + len(body)
        if len(body) > self.body_limit:
            raise self.too_large(len(body), self.body_limit)
        if self.credit - size < self._flush_below:
            self._make_room(size)
        elif self.is_closed:
            raise NotConnected("the stream is closed")
        out = self.out
        if not out:
            self._shell.write_soon()
        out.append(head)
        out.append(body)
        self.credit -= size
        self.frames_out += 1

    def send_reserved(self, route: int, key: int = 0, sequence: int = 0, body: bytes = b"") -> None:
        """Send an answer or a frame of the protocol's own, also when the buffer is full: requests in flight and heartbeats bound
        how many there can be. Dropped when the stream is closed."""
        if self.is_closed:
            return
        if not self.out:
            self._shell.write_soon()
        self.out.append(HEADER.pack(len(body), route, key, self.source, sequence) + body)
        self.credit -= HEADER_SIZE + len(body)
        self.reserved += HEADER_SIZE + len(body)
        if len(self.out) >= PORTION:
            self.flush()
        if route & 0xFF >= Kind.CALL:  # heartbeats are no messages
            self.frames_out += 1

    def _make_room(self, size: int) -> None:
        if self.is_closed:
            raise NotConnected("the stream is closed")
        if size > self.send_limit:
            raise self.too_large(size, self.send_limit)
        self.flush()
        if size > self.credit:
            used = self.kept_limit - self.credit
            raise Overloaded(
                f"{used} of {self.kept_limit} bytes wait for {self.label} already; this message has {size}",
                what="bytes in the send buffer", limit=self.kept_limit, current=used,
            )  # fmt: skip

    # --- bodies -----------------------------------------------------------------------------------------------

    def compressed(self, route: int, body: bytes) -> tuple[int, bytes]:
        """The route and body to send instead, if that is shorter."""
        if len(body) > self.body_limit:
            raise self.too_large(len(body), self.body_limit)
        packed = compress(body)
        return (route, body) if packed is None else (route | FLAG_COMPRESSED << 8, packed)

    def body_of(self, route: int, body: bytes) -> bytes:
        """The body of a frame that came here, plain. Raises `FrameTooLarge` or `ProtocolError`."""
        return decompress(body, self.frame_limit) if route >> 8 & FLAG_COMPRESSED else body

    def too_large(self, size: int, limit: int) -> FrameTooLarge:
        """The error for a message of `size` bytes where `limit` fit."""
        text = f"the message takes {size} bytes; at most {limit} can be sent to {self.label}"
        return FrameTooLarge(text, size=size, limit=limit)

    # --- writing ----------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Hand everything gathered to the shell, and renew the credit."""
        if not self._opened:
            return
        out = self.out
        data = b""
        if out:
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            self.bytes_out += len(data)
        waiting = self._shell.write(data)
        if not waiting:
            self.reserved = 0
        if waiting or self._counted or self.kept_limit < self.send_limit:
            self.count_waiting(waiting)
        self.credit = credit = self.kept_limit - waiting
        self._flush_below = credit - GATHER if credit > GATHER else 0

    # --- credit -----------------------------------------------------------------------------------------------

    def limit_send_buffer(self, size: int) -> None:
        """Keep at most `size` bytes for a peer that does not read. Raises `Refused`."""
        self.credit += check_buffer(size) - self.kept_limit
        self.send_limit = self.kept_limit = size
        self._flush_below = max(0, self.credit - GATHER)

    def peer_takes(self, frame_limit: int) -> None:
        """The peer says how long a frame it takes; what others send us through it may be as long."""
        self.body_limit = frame_limit - META_SIZE
        self.frame_limit = max(self.frame_limit, frame_limit)

    def speak_as(self, source: int) -> None:
        """Frames from here carry this id from now on."""
        self.source = source

    def rename(self, name: str) -> None:
        """Call the other end by another name."""
        self.name = name

    def taken(self, waiting: int) -> None:
        """The peer has taken most of what was written; `waiting` bytes are left."""
        self.reserved = 0
        self.count_waiting(waiting)
        if not self.out:
            self.credit = self.kept_limit - waiting

    def curb(self) -> None:
        """What others have filled is not there for this one any more."""
        allowed = self._waiting.allowed(self._counted, self.send_limit)
        self.credit -= self.kept_limit - allowed
        self.kept_limit = allowed

    def count_waiting(self, waiting: int) -> None:
        """So many bytes wait for the peer now: count them in the total, and see what may."""
        self._waiting.changed(waiting - self._counted)
        self._counted = waiting
        self.kept_limit = self._waiting.allowed(waiting, self.send_limit)
