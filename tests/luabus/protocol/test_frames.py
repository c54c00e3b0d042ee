from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luabus.errors import FrameTooLarge, ProtocolError
from luabus.limits import PROTOCOL_VERSION
from luabus.protocol.frames import (
    FLAG_EPOCH,
    FLAG_META,
    HEADER_SIZE,
    KNOWN_FLAGS,
    MAGIC,
    META_SIZE,
    Frame,
    Kind,
    check_header,
    encode,
    hello,
    make_route,
    split,
)

LIMIT = 1000
u32 = st.integers(0, 0xFFFF_FFFF)


@st.composite
def frames(draw: Any) -> Frame:
    kind, flags = draw(st.sampled_from(Kind)), draw(st.integers(0, KNOWN_FLAGS))
    if not (flags & FLAG_META and Kind.TARGET <= kind <= Kind.MASTER):
        flags &= ~FLAG_EPOCH
    frame = Frame(
        kind, flags, draw(st.integers(0, 0xFFFF)), draw(u32), draw(u32), draw(u32), draw(u32),
        draw(st.binary(max_size=50)),
    )  # fmt: skip
    if flags & FLAG_META:
        frame = frame._replace(deadline=draw(u32), trace=draw(st.integers(0, (1 << 64) - 1)))
    if flags & FLAG_EPOCH:
        frame = frame._replace(epoch=draw(u32))
    return frame


@given(frames())
def test_what_is_encoded_is_split_into_the_same_frame(frame: Frame) -> None:
    data = encode(frame)
    assert len(data) == HEADER_SIZE + (META_SIZE if frame.flags & FLAG_META else 0) + len(frame.body)
    assert list(split(data, LIMIT)) == [(frame, len(data))]


@given(frames())
def test_a_frame_cut_at_any_byte_is_left_until_the_rest_is_there(frame: Frame) -> None:
    data = encode(frame)
    for cut in range(len(data)):
        assert list(split(data[:cut], LIMIT)) == []


@given(st.lists(frames(), max_size=4), st.data())
def test_a_stream_of_frames_split_anywhere_gives_the_same_frames(
    sent: list[Frame], data: st.DataObject
) -> None:
    stream = b"".join(map(encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    received: list[Frame] = []
    rest = b""
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        rest += stream[start:end]
        taken = 0
        for frame, behind in split(rest, LIMIT):
            received.append(frame)
            taken = behind
        rest = rest[taken:]
    assert received == sent
    assert rest == b""


@given(frames(), st.binary(max_size=HEADER_SIZE - 1))
def test_trailing_bytes_are_left(frame: Frame, trailing: bytes) -> None:
    data = encode(frame)
    assert list(split(data + trailing, LIMIT)) == [(frame, len(data))]


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_a_typed_error(data: bytes) -> None:
    try:
        for frame, end in split(data, LIMIT):
            assert end <= len(data)
            assert len(frame.body) <= LIMIT
    except (ProtocolError, FrameTooLarge):
        pass


def test_a_length_over_the_limit_is_refused_from_the_header_alone() -> None:
    header = encode(Frame(Kind.CALL, body=bytes(LIMIT + 1)))[:HEADER_SIZE]
    with pytest.raises(
        FrameTooLarge, match="a frame of 1001 bytes was announced; the limit is 1000"
    ) as caught:
        list(split(header, LIMIT))
    assert (caught.value.size, caught.value.limit) == (LIMIT + 1, LIMIT)
    assert len(list(split(encode(Frame(Kind.CALL, body=bytes(LIMIT))), LIMIT))) == 1


@pytest.mark.parametrize("kind", sorted(set(range(256)) - set(Kind)))
def test_an_unknown_kind_is_refused(kind: int) -> None:
    with pytest.raises(ProtocolError, match=f"unknown frame kind {kind};"):
        check_header(0, make_route(kind), LIMIT)


@pytest.mark.parametrize("flag", [0x20, 0x40, 0x80])
def test_an_unknown_flag_is_refused(flag: int) -> None:
    with pytest.raises(ProtocolError, match=f"unknown flags 0x{flag | 1:02x} in a CALL frame"):
        check_header(0, make_route(Kind.CALL, flag | 1), LIMIT)


@pytest.mark.parametrize("length", range(META_SIZE))
def test_meta_that_does_not_fit_into_the_frame_is_refused(length: int) -> None:
    with pytest.raises(ProtocolError, match=f"a frame with meta has {length} bytes; meta alone takes 16"):
        check_header(length, make_route(Kind.TARGET, FLAG_META), LIMIT)


def test_the_first_frames_come_before_the_error_behind_them() -> None:
    good = encode(Frame(Kind.PING))
    found = split(good + bytes(HEADER_SIZE), LIMIT)
    assert next(found) == (Frame(Kind.PING), HEADER_SIZE)
    with pytest.raises(ProtocolError):
        next(found)


def test_hello_says_magic_version_secret_and_the_id_given() -> None:
    ((frame, _),) = split(hello(b"n" * 32, secured=True, given_id=0xFF00_0001), LIMIT)
    assert frame == Frame(
        Kind.HELLO, destination=1, key=MAGIC, source=0xFF00_0001, sequence=PROTOCOL_VERSION, body=b"n" * 32
    )
    ((frame, _),) = split(hello(b"n" * 32, secured=False), LIMIT)
    assert (frame.destination, frame.source) == (0, 0)
    assert MAGIC.to_bytes(4, "little") == b"LuaB"


@pytest.mark.parametrize("flags", [FLAG_EPOCH, FLAG_EPOCH | FLAG_META])
@pytest.mark.parametrize("kind", Kind)
def test_only_a_routed_frame_with_meta_has_an_epoch(kind: Kind, flags: int) -> None:
    route = make_route(kind, flags)
    if flags & FLAG_META and Kind.TARGET <= kind <= Kind.MASTER:
        check_header(META_SIZE, route, LIMIT)
        return
    with pytest.raises(ProtocolError):
        check_header(META_SIZE, route, LIMIT)
