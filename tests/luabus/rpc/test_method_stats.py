from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from luabus.rpc.method_stats import BUCKETS, MethodStats


def test_nothing_finished_is_all_zeros() -> None:
    shown = MethodStats().snapshot()
    assert shown == {
        "calls": 0, "errors": 0, "cancelled": 0, "expired": 0, "running": 0,
        "mean_ms": 0.0, "p50_ms": 0.0, "p99_ms": 0.0, "buckets": [0] * BUCKETS,
    }  # fmt: skip


def test_a_bucket_is_the_bit_length_of_the_microseconds() -> None:
    stats = MethodStats()
    for elapsed_us in (0, 1, 2, 3, 4, 1023, 1024):
        stats.finished(elapsed_us)
    assert {index: count for index, count in enumerate(stats.buckets) if count} == {
        0: 1,
        1: 1,
        2: 2,
        3: 1,
        10: 1,
        11: 1,
    }


def test_the_last_bucket_takes_everything_from_8_seconds_up() -> None:
    stats = MethodStats()
    for elapsed_us in (1 << 23, 1 << 24, 1 << 40):
        stats.finished(elapsed_us)
    assert stats.buckets[-1] == 3


def test_the_mean_is_exact() -> None:
    stats = MethodStats()
    for elapsed_us in (1000, 2000, 6000):
        stats.finished(elapsed_us)
    assert stats.snapshot()["mean_ms"] == 3.0


@given(st.lists(st.integers(1, 1 << 22), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_percentiles_are_exact_to_a_factor_of_two(latencies: list[int], share: float) -> None:
    stats = MethodStats()
    for elapsed_us in latencies:
        stats.finished(elapsed_us)
    wanted = share * len(latencies)
    exact = next(value for index, value in enumerate(sorted(latencies), 1) if index >= wanted)
    assert exact / 2 <= stats.percentile_us(share) <= exact * 2


def test_a_snapshot_does_not_change_any_more() -> None:
    stats = MethodStats()
    shown = stats.snapshot()
    stats.finished(5)
    assert shown["buckets"] == [0] * BUCKETS
