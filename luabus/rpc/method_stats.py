"""What a method costs: counts and a latency histogram, cheap enough to be always on. Pure.

Latencies go into buckets by the bit length of their microseconds: bucket n holds [2^(n-1), 2^n) us, the last one everything from
8.4 s up. Two integer operations per call; percentiles are exact to a factor of two, interpolated within the bucket.
"""

from __future__ import annotations

from typing import Any

BUCKETS = 25


class MethodStats:
    """Totals of one method since the process started. `buckets` holds calls per latency bucket."""

    __slots__ = ("buckets", "calls", "cancelled", "errors", "expired", "running", "total_us")

    def __init__(self) -> None:
        self.calls = self.errors = self.cancelled = self.expired = self.running = self.total_us = 0
        self.buckets = [0] * BUCKETS

    def finished(self, elapsed_us: int) -> None:
        """A call ended after `elapsed_us` microseconds."""
        self.total_us += elapsed_us
        index = elapsed_us.bit_length()
        self.buckets[index if index < BUCKETS else -1] += 1

    def percentile_us(self, share: float) -> float:
        """The latency that `share` (0..1) of the finished calls stayed below, in us; 0 without any."""
        wanted = share * sum(self.buckets)
        seen = 0
        for index, count in enumerate(self.buckets):
            if count and seen + count >= wanted:
                low, high = (1 << index >> 1), 1 << index
                return low + (high - low) * (wanted - seen) / count
            seen += count
        return 0.0

    def snapshot(self) -> dict[str, Any]:
        """As the `luabus.methods` call and the dashboard show it; latencies in ms."""
        done = sum(self.buckets)
        return {
            "calls": self.calls,
            "errors": self.errors,
            "cancelled": self.cancelled,
            "expired": self.expired,
            "running": self.running,
            "mean_ms": self.total_us / done / 1000 if done else 0.0,
            "p50_ms": self.percentile_us(0.5) / 1000,
            "p99_ms": self.percentile_us(0.99) / 1000,
            "buckets": list(self.buckets),
        }
