"""Two clocks that the test moves: the connector's and the acceptor's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from luabus.protocol.peer_clock import PeerClock


def ping(clock: PeerClock, now: float, ahead_s: float, there_s: float, back_s: float) -> float:
    """A PING at `now` that takes `there_s` to an acceptor whose clock is `ahead_s` ahead, and its PONG; returns the time then."""
    stamp = clock.stamp(now)
    clock_ms = int((now + there_s + ahead_s) * 1000) & 0xFFFF_FFFF
    clock.pong(stamp, clock_ms, now + there_s + back_s)
    return now + there_s + back_s


def test_an_acceptors_clock_is_its_own() -> None:
    clock = PeerClock(connector=False)
    assert clock.offset_ms == 0.0
    assert clock.remaining_s(clock.deadline_ms(12.0), 10.0) == 2.001  # rounded up to the next millisecond


def test_without_a_pong_there_is_no_deadline() -> None:
    clock = PeerClock(connector=True)
    assert clock.offset_ms is None
    assert clock.deadline_ms(5.0) == 0
    assert clock.remaining_s(12345, 5.0) is None


def test_no_deadline_is_none() -> None:
    assert PeerClock(connector=False).remaining_s(0, 5.0) is None


@given(
    st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.0, 0.05), st.floats(0.0, 0.05), st.floats(0.01, 600.0)
)
def test_a_deadline_means_the_same_at_both_ends(
    now: float, ahead_s: float, there_s: float, back_s: float, timeout_s: float
) -> None:
    clock = PeerClock(connector=True)
    now = ping(clock, now, ahead_s, there_s, back_s)
    assert abs(clock.rtt_s - there_s - back_s) < 1e-5
    deadline_ms = clock.deadline_ms(now + timeout_s)
    left = PeerClock(connector=False).remaining_s(deadline_ms, now + ahead_s)
    assert left is not None
    assert abs(left - timeout_s) <= (there_s + back_s) / 2 + 0.003


def test_a_passed_deadline_is_negative() -> None:
    clock = PeerClock(connector=False)
    left = clock.remaining_s(clock.deadline_ms(10.0), 12.5)
    assert left is not None
    assert -2.5 <= left < -2.49


def test_deadlines_go_on_where_the_milliseconds_begin_anew() -> None:
    clock = PeerClock(connector=False)
    wrap = (1 << 32) / 1000
    for deadline, now in ((wrap + 1.0, wrap - 1.0), (wrap - 1.0, wrap + 1.0)):
        left = clock.remaining_s(clock.deadline_ms(deadline), now)
        assert left is not None
        assert abs(left - (deadline - now)) < 0.003


def test_a_deadline_that_falls_on_0_is_still_one() -> None:
    assert PeerClock(connector=False).deadline_ms(((1 << 32) - 1) / 1000) == 1


def test_of_the_last_ten_samples_the_quickest_counts() -> None:
    clock = PeerClock(connector=True)
    now = ping(clock, 0.0, 100.0, 0.0, 0.0)
    assert clock.offset_ms == 100_000
    for _ in range(9):
        now = ping(clock, now, 100.0, 0.5, 0.0)  # slow, and only one way: off by 250 ms each
        assert clock.offset_ms == 100_000
    ping(clock, now, 100.0, 0.5, 0.0)
    assert abs(clock.offset_ms - 100_250) <= 1
