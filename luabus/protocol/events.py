"""What a session tells: calls to its receivers, everything else to whoever drives it. Pure."""

from __future__ import annotations

from typing import Any

from luabus.errors import LuabusError


class Receiver:
    """What takes the calls that arrive on a session (`rpc.dispatcher.Dispatcher`)."""

    def take(
        self, stream: Any, route: int, source: int, sequence: int, data: bytes, start: int, end: int
    ) -> None:
        """A call or request; its meta and body are `data[start:end]`."""
        raise NotImplementedError

    def cancel(self, stream: Any, source: int, sequence: int) -> None:
        """The caller no longer waits."""

    def stream_closed(self, stream: Any) -> None:
        """Nobody who called through this stream can be answered any more."""


class SessionEvents:
    """What a session tells whoever drives it. Each does nothing here."""

    __slots__ = ()

    def opened(self) -> None:
        """The handshake is done."""

    def ended(self, error: LuabusError | None, text: str, *, was_open: bool) -> None:
        """The session is closed: for `error`, None when this side wanted it; `text` is its short form."""

    def called(self, route: int, source: int, sequence: int, data: bytes, start: int, end: int) -> None:
        """A call came, and there is no receiver for it."""

    def answered(self, waiter: Any, source: int, value: Any) -> bool:
        """One answer to a request: the value, or the `LuabusError` that stands for it. True when it was the last."""
        return True

    def reached(self, waiter: Any, count: int, body: bytes) -> None:
        """The router tells who got a broadcast."""

    def expired(self, waiter: Any) -> None:
        """A request's deadline has passed."""

    def lost(self, waiter: Any, why: str) -> None:
        """The session ended while the request was in flight."""

    def ping_received(self, body: bytes) -> None:
        """The peer's heart-beat, already answered."""

    def pong_received(self, body: bytes) -> None:
        """The answer to a heart-beat of ours; `clock` has been renewed."""

    def ping_body(self) -> bytes:
        """What the next heart-beat carries."""
        return b""
