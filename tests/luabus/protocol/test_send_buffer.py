"""The sending half of a connection: what is taken, what is refused, and what a slow peer costs."""

from __future__ import annotations

import pytest

from luabus.errors import FrameTooLarge, LuabusError, NotConnected, Overloaded, Refused, from_wire
from luabus.protocol import codec
from luabus.protocol.frames import FLAG_COMPRESSED, HEADER_SIZE, META_SIZE, Kind, make_route, split
from luabus.protocol.send_buffer import PORTION, SendBuffer
from luabus.protocol.session import CALL_ROUTE
from luabus.protocol.stream_options import StreamOptions
from tests.luabus.protocol.test_session import Tape


def buffer(**options: int) -> tuple[SendBuffer, Tape]:
    tape = Tape()
    made = SendBuffer(1, tape, StreamOptions(**options))
    made._opened = True
    return made, tape


def test_what_is_sent_is_written_at_the_flush_and_asked_for_once() -> None:
    sending, tape = buffer()
    for number in range(3):
        sending.post(CALL_ROUTE, 0, bytes((number,)))
    assert (tape.soon, tape.data) == (1, b"")
    sending.flush()
    assert [frame.body for frame, _ in split(tape.data, 100)] == [b"\0", b"\1", b"\2"]
    assert (sending.frames_out, sending.bytes_out) == (3, 3 * (HEADER_SIZE + 1))


def test_credit_is_what_the_socket_has_taken() -> None:
    sending, tape = buffer(send_buffer=1000)
    sending.post(CALL_ROUTE, 0, bytes(600))
    assert sending.credit == 1000 - 600 - HEADER_SIZE
    tape.waiting = 900
    with pytest.raises(Overloaded, match="900 of 1000 bytes wait for the peer already; this message has 424"):
        sending.post(CALL_ROUTE, 0, bytes(400))
    tape.waiting = 100
    sending.post(CALL_ROUTE, 0, bytes(400))
    with pytest.raises(FrameTooLarge, match="takes 1024 bytes; at most 1000"):
        sending.post(CALL_ROUTE, 0, bytes(1000))


def test_answers_pass_without_credit_and_are_counted_until_the_peer_has_read() -> None:
    sending, tape = buffer(send_buffer=100)
    for sequence in range(10):
        sending.send_reserved(make_route(Kind.REPLY), 0, sequence, bytes(26))
    assert (sending.credit, sending.reserved) == (100 - 500, 500)
    tape.waiting = 500
    sending.flush()
    assert (sending.credit, sending.reserved) == (-400, 500)
    sending.taken(20)
    assert (sending.credit, sending.reserved) == (80, 0)


def test_a_portion_of_answers_is_written_at_once() -> None:
    sending, tape = buffer()
    for sequence in range(PORTION):
        assert tape.data == b""
        sending.send_reserved(make_route(Kind.REPLY), 0, sequence)
    assert len(tape.data) == PORTION * HEADER_SIZE


def test_bodies_above_the_threshold_are_compressed_when_that_is_shorter() -> None:
    sending, tape = buffer(compress_above=100)
    sending.post(CALL_ROUTE, 0, bytes(101))
    sending.post(CALL_ROUTE, 0, bytes(100))
    sending.flush()
    (packed, _), (plain, _) = split(tape.data, 1000)
    assert packed.flags == FLAG_COMPRESSED
    assert sending.body_of(CALL_ROUTE | FLAG_COMPRESSED << 8, packed.body) == bytes(101)
    assert (plain.flags, plain.body) == (0, bytes(100))


def test_an_error_too_long_for_the_peer_is_cut() -> None:
    sending, tape = buffer(body_limit=500)
    sending.reply_error(5, 9, Refused("x" * 5000))
    sending.flush()
    ((frame, _),) = split(tape.data, 70_000)
    name, text, _ = codec.unpack_value(frame.body)
    assert (frame.kind, frame.destination, frame.sequence) == (Kind.ERROR, 5, 9)
    assert name == "Refused"
    assert text.startswith("xxx")
    assert len(frame.body) <= 500
    with pytest.raises(FrameTooLarge):
        sending.reply(make_route(Kind.REPLY), 9, bytes(501))


@pytest.mark.parametrize("limit", [512 - META_SIZE, 70_000])
@pytest.mark.parametrize("where", ["name", "field", "text"])
def test_no_error_is_longer_than_the_peer_takes_whatever_its_class_is_called(where: str, limit: int) -> None:
    long = "\U0001f40c" * 2_000_000
    kind = type(long if where == "name" else "Long", (LuabusError,), {"__annotations__": {long: int}})
    error = kind(long if where == "text" else "x", **({long: 1} if where == "field" else {}))
    sending, tape = buffer(body_limit=limit)
    sending.reply_error(5, 9, error)
    sending.flush()
    ((frame, _),) = split(tape.data, 70_000)
    assert len(frame.body) <= limit
    assert isinstance(from_wire(codec.unpack_value(frame.body)), LuabusError)


def test_settings_take_effect_at_once_and_closed_is_closed() -> None:
    sending, _ = buffer(send_buffer=1000)
    sending.limit_send_buffer(2000)
    assert (sending.send_limit, sending.credit) == (2000, 2000)
    with pytest.raises(Refused):
        sending.limit_send_buffer(1)
    sending.is_closed = True
    sending.send_reserved(CALL_ROUTE)
    assert sending.out == []
    with pytest.raises(NotConnected):
        sending.post(CALL_ROUTE, 0, b"")


def test_names_in_messages() -> None:
    sending, _ = buffer()
    assert sending.label == "the peer"
    sending.rename("router.1")
    assert sending.label == "router.1"
