"""How a stream is set up: one value, given when it is made."""

from __future__ import annotations

from typing import Final

from luabus import option_checks
from luabus.errors import Refused
from luabus.limits import (
    DEFAULT_BUS_BUFFER,
    DEFAULT_FRAME_LIMIT,
    DEFAULT_STREAM_BUFFER,
    LONGEST_TIMEOUT_S,
    MAX_FRAME_LIMIT,
)
from luabus.protocol.compression import NEVER
from luabus.protocol.frames import HEADER_SIZE, META_SIZE

_SPARE = 64
"""Bytes of a send buffer beyond the longest frame: header and meta."""


class StreamOptions:
    """The settings of a stream; all sizes in bytes.

    `frame_limit`: the longest frame taken, after its header; `send_buffer`: kept for a peer that does not read; `body_limit`: the
    longest body sent, where the peer's own limit is known; `compress_above`: longer bodies are compressed; `timeout_ms`: silence
    that breaks the stream, 0 = never; `nodelay`: TCP_NODELAY. Raises `Refused` for what cannot be.
    """

    __slots__ = ("body_limit", "compress_above", "frame_limit", "nodelay", "send_buffer", "timeout_ms")

    def __init__(
        self,
        frame_limit: int = DEFAULT_STREAM_BUFFER,
        send_buffer: int = DEFAULT_STREAM_BUFFER,
        body_limit: int = MAX_FRAME_LIMIT,
        compress_above: int = NEVER,
        timeout_ms: int = 0,
        nodelay: bool = True,
    ) -> None:
        check_buffer(send_buffer)
        check_timeout(timeout_ms)
        self.frame_limit = frame_limit
        self.send_buffer = send_buffer
        self.body_limit = body_limit
        self.compress_above = compress_above
        self.timeout_ms = timeout_ms
        self.nodelay = nodelay

    @classmethod
    def of_bus(
        cls,
        frame_limit: int | None = None,
        buffer: int | None = None,
        compress_above: int | None = None,
    ) -> StreamOptions:
        """Between a router and whoever has joined it; None = the default (1 MiB, 8 MiB, never). Raises `ConfigError`."""
        option_checks.check(frame_limit=frame_limit, buffer=buffer, compress_above=compress_above)
        frame_limit = DEFAULT_FRAME_LIMIT if frame_limit is None else frame_limit
        send_buffer = max(DEFAULT_BUS_BUFFER if buffer is None else buffer, frame_limit + _SPARE)
        return cls(
            frame_limit=frame_limit,
            send_buffer=min(send_buffer, MAX_FRAME_LIMIT),
            body_limit=frame_limit - META_SIZE,
            compress_above=NEVER if compress_above is None else compress_above,
        )


def check_buffer(size: int) -> int:
    """`size`, if a buffer of so many bytes can be. Raises `Refused`."""
    if type(size) is not int or not HEADER_SIZE * 2 <= size <= MAX_FRAME_LIMIT:
        raise Refused(f"a buffer of {size} bytes; {HEADER_SIZE * 2} to {MAX_FRAME_LIMIT} are possible")
    return size


def check_timeout(ms: int) -> int:
    """`ms`, if it can be a time-out. Raises `Refused`."""
    if type(ms) not in (int, float) or not 0 <= ms <= LONGEST_TIMEOUT_S * 1000:
        raise Refused(f"a time-out of {ms} ms; 0 means never")
    return ms


PLAIN_STREAM: Final = StreamOptions()
"""Between any two processes."""
BUS_STREAM: Final = StreamOptions.of_bus()
"""Between a router and whoever has joined it."""
