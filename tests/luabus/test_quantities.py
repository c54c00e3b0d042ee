"""Sizes and durations as people write and read them."""

from __future__ import annotations

import pytest

from luabus.quantities import format_duration, format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (7, 7),
        ("7", 7),
        ("1k", 1024),
        ("512MB", 512 << 20),
        ("10 MiB", 10 << 20),
        ("1.5G", 3 << 29),
        (" 2tb ", 2 << 40),
        ("3B", 3),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_sizes_are_read(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "lots", "-5", "5X", "MB", "1,5G", "9" * 400, "1." + "9" * 400])
def test_what_is_no_size_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match='write bytes, or "512MB"'):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1.0K"),
        (20 << 20, "20.0M"),
        (150 << 20, "150M"),
        (5 << 50, "5120.0T"),
    ],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (9.94, "9.9s"), (59.9, "59s"), (192, "3m12s"), (18120, "5h02m"), (1047600, "12d03h")],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
