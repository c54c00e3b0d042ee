"""Frames that arrive in pieces."""

from __future__ import annotations

from luabus.protocol.frames import HEADER_SIZE, Frame, Kind, encode
from luabus.protocol.reassembly import Reassembly

FRAME = encode(Frame(Kind.CALL, body=b"0123456789"))


def test_two_pieces_are_one_frame_wherever_it_is_cut() -> None:
    for cut in range(1, len(FRAME)):
        kept = Reassembly()
        kept.keep(b"before" + FRAME[:cut], 6)
        assert (kept.have, kept.need) == (cut, HEADER_SIZE if cut < HEADER_SIZE else len(FRAME))
        parts = kept.complete(FRAME[cut:] + b"behind")
        assert b"".join(parts) == FRAME + b"behind"
        assert (kept.have, kept.need) == (0, 0)


def test_a_piece_that_does_not_complete_it_is_kept_too() -> None:
    kept = Reassembly()
    kept.keep(FRAME[:26], 0)
    assert kept.complete(FRAME[26:30]) == ()
    assert kept.complete(FRAME[30:]) == (FRAME,)


def test_a_large_frame_comes_by_itself() -> None:
    large = encode(Frame(Kind.CALL, body=bytes(100_000)))
    kept = Reassembly()
    kept.keep(large[:1000], 0)
    assert kept.complete(large[1000:] + FRAME) == (large, FRAME)


def test_nothing_is_kept_of_nothing() -> None:
    kept = Reassembly()
    kept.keep(FRAME, len(FRAME))
    assert kept.have == 0
    kept.keep(FRAME, 1)
    kept.clear()
    assert (kept.have, kept.need) == (0, 0)
