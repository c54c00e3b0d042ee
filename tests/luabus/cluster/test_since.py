"""Moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from luabus.cluster.since import parse_moment

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("10m", "11:50:00"), ("90s", "11:58:30"), ("1h30m", "10:30:00"), ("2 h ago", "10:00:00"), ("500ms", "11:59:59.5"),
        ("2026-01-31T05:00:00Z", "05:00:00"), ("2026-01-31T13:00:00+08:00", "05:00:00"),
    ],
)  # fmt: skip
def test_since(text: str, time: str) -> None:
    assert parse_moment(text, NOW).astimezone(UTC).isoformat().startswith(f"2026-01-31T{time}")


def test_since_in_local_time() -> None:
    local = NOW.astimezone()
    assert parse_moment("2026-01-31 03:04", NOW) == parse_moment(
        datetime(2026, 1, 31, 3, 4).astimezone().isoformat(), NOW
    )
    assert parse_moment("today", NOW) == parse_moment(f"{local.date()} 00:00", NOW)
    assert parse_moment("00:00:00", NOW) == parse_moment("today", NOW)
    assert parse_moment("yesterday", NOW) < parse_moment("today", NOW)


@pytest.mark.parametrize(
    "text", ["", "soon", "10", "10 parsecs", "25:00", "m", "2026-13-01", "-5m", "5m tomorrow"]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time; allowed: 10m"):
        parse_moment(text, NOW)
