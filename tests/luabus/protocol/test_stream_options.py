"""How a stream is set up."""

from __future__ import annotations

import pytest

from luabus.errors import Refused
from luabus.limits import DEFAULT_BUS_BUFFER, DEFAULT_FRAME_LIMIT, DEFAULT_STREAM_BUFFER
from luabus.protocol.compression import NEVER
from luabus.protocol.frames import META_SIZE
from luabus.protocol.stream_options import (
    BUS_STREAM,
    PLAIN_STREAM,
    StreamOptions,
    check_buffer,
    check_timeout,
)


def test_a_plain_stream_has_the_buffers_that_were_asked_for() -> None:
    assert PLAIN_STREAM.frame_limit == PLAIN_STREAM.send_buffer == DEFAULT_STREAM_BUFFER
    assert (PLAIN_STREAM.timeout_ms, PLAIN_STREAM.nodelay) == (0, True)


def test_on_the_bus_a_buffer_holds_the_longest_frame() -> None:
    assert (BUS_STREAM.frame_limit, BUS_STREAM.send_buffer) == (DEFAULT_FRAME_LIMIT, DEFAULT_BUS_BUFFER)
    assert BUS_STREAM.body_limit == DEFAULT_FRAME_LIMIT - META_SIZE
    assert BUS_STREAM.compress_above == NEVER
    large = StreamOptions.of_bus(64 << 20, 1000, 512)
    assert large.send_buffer > large.frame_limit == 64 << 20
    assert large.compress_above == 512


@pytest.mark.parametrize("size", [0, 47, (1 << 30) + 1])
def test_a_buffer_that_cannot_be(size: int) -> None:
    with pytest.raises(Refused, match=f"a buffer of {size} bytes"):
        StreamOptions(send_buffer=size)
    with pytest.raises(Refused):
        check_buffer(size)


def test_a_time_out_that_cannot_be() -> None:
    assert check_timeout(0) == 0
    with pytest.raises(Refused, match="a time-out of -1 ms; 0 means never"):
        StreamOptions(timeout_ms=-1)
