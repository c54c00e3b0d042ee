"""One connection without input and output: bytes and `now` in, frames and events out. Pure.

Life of a session: shaking hands -> open -> closed. A shell around a socket (`transport.connection` by asyncio,
`transport.blocking` without a loop) drives it:

    start(now, peer)         the connection stands
    receive(data, now)       bytes have arrived
    flush()                  what waits in the buffer goes to `Shell.write`
    tick(now)                at `due_at` at the latest: time-outs, heart-beats
    eof(), end(...)          the peer says no more; close

The frames that came go through the frame loop, a `Delivery` or a `Switch`, which routes them or hands them to `deliver`.
Events are methods: a subclass overrides those of `SessionEvents` that concern it. One file because they share one state.
"""

from __future__ import annotations

from math import inf
from typing import Any, Final

from luabus.errors import FrameTooLarge, LuabusError, Overloaded, ProtocolError, from_wire
from luabus.ids import ServiceId
from luabus.limits import HANDSHAKE_TIMEOUT_S, HEARTBEAT_S, HEARTBEATS_MISSED, MAX_OUTSTANDING
from luabus.protocol import codec
from luabus.protocol.delivery import Delivery
from luabus.protocol.events import Receiver, SessionEvents
from luabus.protocol.frames import (
    FLAG_COMPRESSED,
    FLAG_EPOCH,
    FLAG_META,
    FLAG_REQUEST,
    HEADER_META,
    META_SIZE,
    Kind,
    make_route,
)
from luabus.protocol.handshake import NOWHERE, Address, Handshake, decode_bye, encode_bye
from luabus.protocol.peer_clock import PeerClock
from luabus.protocol.pending_requests import PendingCalls
from luabus.protocol.reassembly import Reassembly
from luabus.protocol.send_buffer import PORTION, SendBuffer, Shell
from luabus.protocol.silence import LATE_S, Silence
from luabus.protocol.stream_options import StreamOptions, check_timeout

CALL_ROUTE: Final = make_route(Kind.CALL)
REQUEST_ROUTE: Final = make_route(Kind.CALL, FLAG_REQUEST | FLAG_META)

_CALL, _PING, _PONG, _BYE = int(Kind.CALL), int(Kind.PING), int(Kind.PONG), int(Kind.BYE)
_REPLY, _ERROR, _REACHED, _CANCEL = int(Kind.REPLY), int(Kind.ERROR), int(Kind.REACHED), int(Kind.CANCEL)
_COMPRESSED: Final = FLAG_COMPRESSED << 8
_PONG_ROUTE: Final = make_route(Kind.PONG)
_PING_ROUTE: Final = make_route(Kind.PING)
_CANCEL_ROUTE: Final = make_route(Kind.CANCEL)


class Session(SendBuffer, SessionEvents):
    """One connection, from its first byte to its last. `handshake` says which end this is, and who; `first_sequence`: a random
    number of 32 bits.

    `receiver` takes the calls that arrive, `control_receiver`, if given, those which the other end itself makes (kind CALL).
    """

    __slots__ = (
        "_calls", "_frame_loop", "_handshake", "_heartbeat_at", "_heartbeat_s", "_pong_stamp",
        "_reading_paused", "_reassembly", "_shake_by", "_silence", "_speak_at", "answers", "clock", "connected_at", "connector",
        "control_receiver", "due_at", "last_received", "receiver", "reported_rtt_us",
    )  # fmt: skip

    def __init__(
        self,
        token: int,
        shell: Shell,
        frame_loop: Delivery,
        handshake: Handshake,
        *,
        first_sequence: int,
        now: float,
        options: StreamOptions,
        name: str = "",
        receiver: Receiver | None = None,
        control_receiver: Receiver | None = None,
    ) -> None:
        super().__init__(token, shell, options, name, frame_loop.waiting)
        self._frame_loop = frame_loop
        self.connector = self.delivers = handshake.connector
        if not handshake.connector:
            handshake.given_id = self.id
        self.receiver = receiver
        self.control_receiver = control_receiver
        self._handshake: Handshake | None = handshake
        self._reading_paused = False
        self._reassembly = Reassembly()
        self._calls: PendingCalls[Any] = PendingCalls(first_sequence)
        self.answers = 0
        """Requests that were answered."""
        self.clock = PeerClock(connector=handshake.connector)
        self.connected_at = self.last_received = now
        self.reported_rtt_us = 0
        """The round trip in us that the peer measured last."""
        self._pong_stamp: int | None = None
        self._silence = Silence(options.timeout_ms / 1000 or inf)
        self._heartbeat_s = 0.0
        self._heartbeat_at = self._shake_by = self._speak_at = inf
        self.due_at = inf
        """When `tick` is to be called (monotonic seconds)."""

    # --- state ------------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Handshake done, not closed."""
        return self._opened and not self.is_closed

    @property
    def has_timeout(self) -> bool:
        """Silence of the peer breaks the session."""
        return self._silence.limit_s < inf

    # --- receiving --------------------------------------------------------------------------------------------

    def start(self, now: float, peer: Address = NOWHERE, local: Address = NOWHERE) -> None:
        """The connection between `peer` and `local` stands: begin the handshake, which must be done in time."""
        self.peer = peer
        self.last_received = now
        self._shake_by = now + HANDSHAKE_TIMEOUT_S
        if self._handshake is not None:
            self._greet(self._handshake.start(peer, local))
        self._reckon()

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes that have arrived."""
        self.last_received = now
        self.bytes_in += len(data)
        parts: tuple[bytes, ...] = (data,)
        if self._reassembly.have:
            parts = self._reassembly.complete(data)
        for part in parts:
            if self.is_closed:
                return
            try:
                if self._handshake is not None:
                    part = self._shake(self._handshake, part)
                    if self._handshake is not None or not part:
                        self._reassembly.keep(part, 0)
                        continue
                taken = self._frame_loop.receive(self, part)
            except LuabusError as error:
                self.end(error, say=True)
                return
            if taken < len(part) and not self.is_closed:
                self._reassembly.keep(part, taken)
                if not self.connector and self._speak_at == inf:
                    self._speak_at = now + HEARTBEAT_S
                    self._reckon()

    def _shake(self, handshake: Handshake, data: bytes) -> bytes:
        send, taken = handshake.receive(data)
        self._greet(send)
        if handshake.done:
            self._handshake = None
            if handshake.connector:
                self.source = handshake.given_id
            self.principal = handshake.peer
            self._opened = True
            self.connected_at = self.last_received
            self._shake_by = inf
            self.opened()
            self.flush()
        return data[taken:]

    def _greet(self, data: bytes) -> None:
        if data:
            self._shell.write(data)

    def eof(self) -> None:
        """The peer says no more. An error in the middle of a frame; else nothing yet: what we say may still be heard."""
        kept = self._reassembly
        if kept.have and not self.is_closed:
            self.end(ProtocolError(f"closed in the middle of a frame: {kept.have} of {kept.need} bytes"))

    def deliver(
        self, route: int, key: int, source: int, sequence: int, data: bytes, start: int, end: int
    ) -> None:
        if self.is_closed:
            return
        kind = route & 0xFF
        if _CALL <= kind < _REPLY:
            receiver = self.receiver
            if kind == _CALL and self.control_receiver is not None:
                receiver = self.control_receiver
            if receiver is not None:
                receiver.take(self, route, source, sequence, data, start, end)
            else:
                self.called(route, source, sequence, data, start, end)
        elif kind >= _REPLY:
            if kind <= _ERROR:
                self._answer(route, source, sequence, data[start:end])
            elif kind == _CANCEL:
                if self._frame_loop.routing:
                    self._frame_loop.cancel(self, sequence)
                if self.receiver is not None:
                    self.receiver.cancel(self, source, sequence)
            elif kind == _REACHED:
                waiter = self._calls.peek(sequence)
                if waiter is not None:
                    self.reached(waiter, key, data[start:end])
        elif kind == _PING:
            self.frames_in -= 1  # the switch counts every frame; heartbeats are no messages
            self.reported_rtt_us = sequence
            now_ms = int(self.last_received * 1000) & 0xFFFF_FFFF
            self.send_reserved(_PONG_ROUTE | now_ms << 32, key, 0, self._frame_loop.digests())
            self.ping_received(data[start:end])
        elif kind == _PONG:
            self.frames_in -= 1
            self._pong_stamp = key
            self.clock.pong(key, route >> 32, self.last_received)
            self.pong_received(data[start:end])
        elif kind == _BYE:
            raise decode_bye(data[start:end])
        else:
            raise ProtocolError(f"{Kind(kind).name} came on an open stream")

    def _answer(self, route: int, source: int, sequence: int, body: bytes) -> None:
        waiter = self._calls.peek(sequence)
        if waiter is None:
            self._frame_loop.answer(self, route, sequence, body)
            return
        value: Any
        try:
            value = codec.unpack_value(self.body_of(route, body) if route & _COMPRESSED else body)
            if route & 0xFF == _ERROR:
                value = from_wire(value, ServiceId(source) if source else None)
        except (ProtocolError, FrameTooLarge) as error:
            value = error
        self.answers += 1
        if self.answered(waiter, source, value):
            self._calls.settle(sequence)

    # --- requests ---------------------------------------------------------------------------------------------

    def start_call(
        self,
        waiter: Any,
        route: int,
        key: int,
        body: bytes,
        deadline: float | None,
        trace: int = 0,
        epoch: int = 0,
    ) -> int:
        """Send a request frame (`route` has REQUEST and META set); `waiter` gets the answer. Returns the sequence.

        `deadline` in monotonic seconds, None = never. Raises `Overloaded`, `FrameTooLarge` or `NotConnected`.
        """
        if len(self._calls) >= MAX_OUTSTANDING:
            raise Overloaded(
                f"{len(self._calls)} requests are in flight on this connection already",
                what="requests in flight", limit=MAX_OUTSTANDING, current=len(self._calls),
            )  # fmt: skip
        deadline_ms = 0 if deadline is None else self.clock.deadline_ms(deadline)
        if len(body) > self.compress_above:
            route, body = self.compressed(route, body)
        sequence = self._calls.add(waiter, deadline)
        size = META_SIZE + len(body)
        if epoch and route & 0xFF != _CALL:  # what the other end itself is asked, no router vouches for
            route |= FLAG_EPOCH << 8
        head = HEADER_META.pack(size, route, key, self.source, sequence, deadline_ms, epoch, trace)
        try:
            self.send_frame(head, body)
        except LuabusError:
            self._calls.settle(sequence)
            raise
        if len(self.out) >= 2 * PORTION:  # head and body
            self.flush()
        if deadline is not None and deadline < self.due_at:
            self.due_at = deadline
            self._shell.due_changed()
        return sequence

    def settle_call(self, sequence: int) -> Any:
        """Stop waiting for a call that is answered; returns its waiter, None when it was not pending."""
        return self._calls.settle(sequence)

    def give_up(self, sequence: int) -> None:
        """Stop waiting for a call that is not answered, and tell whoever has it."""
        if self._calls.settle(sequence) is not None:
            self.send_reserved(_CANCEL_ROUTE, 0, sequence)

    # --- time -------------------------------------------------------------------------------------------------

    def limit_silence(self, ms: int, now: float) -> None:
        """End with "timeout" when nothing arrives for `ms` milliseconds from now on; 0 = never. Raises `Refused`."""
        self._silence.limit_s = check_timeout(ms) / 1000 or inf
        self.last_received = now
        self._reckon()

    def beat(self, now: float, interval_s: float = HEARTBEAT_S, missed: int = HEARTBEATS_MISSED) -> None:
        """Ping now and each `interval_s` seconds; end with "timeout" when `missed` of them brought nothing."""
        if self.is_closed:
            return
        self._heartbeat_s = interval_s
        self._heartbeat_at = now + interval_s
        self.limit_silence(int(interval_s * (missed + 0.5) * 1000), now)
        self.send_ping(now)

    def send_ping(self, now: float) -> int:
        """Send a PING; its PONG renews `clock`. Returns its stamp for `has_heard`."""
        rtt_us = min(int(self.clock.rtt_s * 1_000_000), 0xFFFF_FFFF)
        stamp = self.clock.stamp(now)
        self.send_reserved(_PING_ROUTE, stamp, rtt_us, self.ping_body())
        return stamp

    def has_heard(self, stamp: int) -> bool:
        """The peer has answered the PING with this stamp or a later one."""
        return self._pong_stamp is not None and not self._pong_stamp - stamp & 0x8000_0000

    def progressed(self, now: float) -> None:
        """The peer takes what we write, so it lives: what it would answer to may wait behind that."""
        self._silence.excuse(now)

    def pause_reading(self, paused: bool, now: float) -> None:
        """While we do not read, the peer's silence is not its own."""
        self._reading_paused = paused
        self.last_received = now

    def tick(self, now: float) -> None:
        """Do what is due."""
        if self.is_closed:
            return
        if now >= self._shake_by + LATE_S:
            self._shake_by = now + HANDSHAKE_TIMEOUT_S  # it is we who were late, see `Silence`
        elif now >= self._shake_by:
            self.end(ProtocolError(f"no handshake within {HANDSHAKE_TIMEOUT_S:g} s"), abort=True)
            return
        if self._reading_paused:
            self._silence.excuse(now)
        elif self._silence.is_broken(self.last_received, now):
            self.end(self._silence.error(), "timeout", abort=True)
            return
        for sequence, waiter in self._calls.expire(now):
            self.send_reserved(_CANCEL_ROUTE, 0, sequence)
            self.expired(waiter)
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + self._heartbeat_s
            self.send_ping(now)
        if now >= self._speak_at:
            self._speak_at = inf
            if (
                self._reassembly.have
            ):  # over a slow line its PINGs wait behind it, and it hears nothing from us
                self._speak_at = now + HEARTBEAT_S
                self.send_ping(now)
        self._reckon()

    def _reckon(self) -> None:
        """See when something is due next."""
        if self.is_closed:
            return
        calls = self._calls.next_deadline()
        self.due_at = min(
            self._shake_by,
            self._silence.due_at(self.last_received),
            self._heartbeat_at,
            self._speak_at,
            inf if calls is None else calls,
        )
        self._shell.due_changed()

    # --- ending -----------------------------------------------------------------------------------------------

    def end(
        self, error: LuabusError | None, text: str = "", *, say: bool = False, abort: bool = False
    ) -> None:
        """Close, once: `error` is None when this side wants it, else what broke (`text`: its short form).

        `say` tells the peer why, with a BYE frame; `abort` does not wait for what is still to be written.
        """
        if self.is_closed:
            return
        was_open = self._opened
        if say and error is not None and not abort:
            if not was_open:  # what was sent before is not for a peer that has not proved itself
                self.out.clear()
                self._opened = True
            self.out.append(encode_bye(error))
        self.is_closed = True
        if not abort:
            self.flush()
        self._shell.shut(abort=abort)
        self._frame_loop.detach(self)
        self.out.clear()
        self._reassembly.clear()
        self._handshake = None
        self.due_at = inf
        self._shell.due_changed()
        why = str(error) if error else "this side closed the connection"
        for _, waiter in self._calls.drain():
            self.lost(waiter, why)
        if self.receiver is not None:
            self.receiver.stream_closed(self)
        self.ended(error, text, was_open=was_open)

    def dismiss(self, error: LuabusError) -> None:
        """Close, and tell the peer why."""
        self.out.append(encode_bye(error))
        self.end(None)
