"""Numbers as people read them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from luabus.messages import Message
from luabus.quantities import format_bytes
from luabus.visible import visible


def size(count: float | None) -> str:
    """`1.5 MiB`; a dash for None."""
    return "–" if count is None else format_bytes(count)


def span(seconds: float | None) -> Message:
    """The two largest units: `3 min 12 s`, `2 d 4 h`; a dash for None."""
    if seconds is None:
        return Message("–")
    if 0 < seconds < 1:
        return Message("ui.1-s")
    whole = int(max(seconds, 0))
    if whole < 60:
        return Message("ui.s", s=whole)
    if whole < 3600:
        return Message("ui.min-s", min=whole // 60, s=whole % 60)
    if whole < 86_400:
        return Message("ui.h-min", h=whole // 3600, min=whole % 3600 // 60)
    return Message("ui.d-h", d=whole // 86_400, h=whole % 86_400 // 3600)


def duration(seconds: float | None) -> str:
    """As `span`, in English."""
    return str(span(seconds))


def rate(per_second: float | None) -> str:
    """`0.3/s`, `12/s`, `3.4 k/s`, `1.2 M/s`."""
    if per_second is None:
        return "–"
    for limit, unit, divisor in ((1000, "", 1.0), (1e6, " k", 1e3), (float("inf"), " M", 1e6)):
        if per_second < limit:
            value = per_second / divisor
            digits = 0 if value == 0 or value >= 100 or (divisor == 1 and value >= 1) else 1
            return f"{value:.{digits}f}{unit}/s"
    raise AssertionError("unreachable")


def percent(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.1f} %"


def milliseconds(value: float | None) -> str:
    if value is None:
        return "–"
    if 0 < value < 0.1:
        return f"{value * 1000:.0f} µs"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"


_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\)|[ -/]*[0-~])")


def unstyled(line: str) -> str:
    """A line of a log without what colours a terminal or moves its cursor; other control characters, and marks that turn the
    writing round, as `\\x07`."""
    return "\t".join(visible(part) for part in _ESCAPES.sub("", line).split("\t"))


def percentile_ms(buckets: Sequence[int], share: float) -> float | None:
    """The latency that `share` of the calls stayed below, from counts per power of two of microseconds; None without calls."""
    wanted = share * sum(buckets)
    if wanted <= 0:
        return None
    seen = 0
    for index, count in enumerate(buckets):
        if count and seen + count >= wanted:
            low, high = (1 << index) >> 1, 1 << index
            return (low + (high - low) * (wanted - seen) / count) / 1000
        seen += count
    return math.inf
