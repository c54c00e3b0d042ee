from __future__ import annotations

import contextlib
import os
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from luabus.errors import FrameTooLarge, ProtocolError
from luabus.protocol.compression import compress, decompress

LIMIT = 1 << 20


@given(st.binary(max_size=200), st.integers(1, 1000))
def test_what_is_compressed_unfolds_to_what_it_was(unit: bytes, times: int) -> None:
    body = unit * times
    packed = compress(body)
    if packed is not None:
        assert len(packed) < len(body)
        assert decompress(packed, LIMIT) == body


def test_a_body_that_does_not_get_shorter_stays_as_it_is() -> None:
    assert compress(os.urandom(1000)) is None
    assert compress(b"") is None


def test_a_small_frame_that_unfolds_to_more_than_the_limit_is_refused_before_it_does() -> None:
    bomb = compress(bytes(64 << 20))
    assert bomb is not None
    assert len(bomb) < 10_000
    tracemalloc.start()
    try:
        with pytest.raises(
            FrameTooLarge, match=f"unfolds to {64 << 20} bytes; the limit is {LIMIT}"
        ) as caught:
            decompress(bomb, LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (caught.value.size, caught.value.limit) == (64 << 20, LIMIT)
    assert peak < 2 * LIMIT


def test_one_that_does_not_say_how_long_it_is_is_refused() -> None:
    packed = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
    with pytest.raises(ProtocolError, match="does not say how long it is"):
        decompress(packed, LIMIT)


def test_one_that_says_less_than_it_holds_is_refused() -> None:
    packed = bytearray(zstandard.ZstdCompressor(write_content_size=True).compress(bytes(200) * 1000))
    for index in range(len(packed)):
        for value in (0, 1, 0x7F, 0xFF):
            mutated = bytes(packed[:index]) + bytes([value]) + bytes(packed[index + 1 :])
            with contextlib.suppress(ProtocolError, FrameTooLarge):
                assert len(decompress(mutated, LIMIT)) <= LIMIT


@given(st.binary(max_size=300))
def test_any_bytes_unfold_or_are_refused_with_a_typed_error(body: bytes) -> None:
    with contextlib.suppress(ProtocolError, FrameTooLarge):
        decompress(body, LIMIT)


def test_a_cut_body_is_refused() -> None:
    packed = compress(b"luabus " * 1000)
    assert packed is not None
    for cut in range(len(packed)):
        with pytest.raises((ProtocolError, FrameTooLarge)):
            decompress(packed[:cut], LIMIT)
