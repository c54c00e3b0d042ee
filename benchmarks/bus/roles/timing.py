"""What a sender tells about a run."""

from __future__ import annotations

from typing import Any


def round_trips(seconds: float, latencies_s: list[float]) -> dict[str, Any]:
    """Figures of a run of requests: how many in how long, and percentiles in us."""
    latencies_s.sort()
    count = len(latencies_s)
    return {
        "count": count,
        "seconds": seconds,
        "p50_us": latencies_s[count // 2] * 1e6,
        "p99_us": latencies_s[min(count - 1, count * 99 // 100)] * 1e6,
    }
