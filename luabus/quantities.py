"""Sizes as people write them (`512MB`, `10 MiB`, `1g`, or a number of bytes), and sizes and durations as people read them."""

from __future__ import annotations

import re
from typing import Final

_FACTORS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE: Final = re.compile(r"\s*(\d{1,30}(?:\.\d{1,30})?)\s*([KMGT]?)(?:i?B)?\s*", re.IGNORECASE)


def parse_size(text: str | int) -> int:
    """Bytes. K, M, G and T are powers of 1024. Raises ValueError that shows the form."""
    if isinstance(text, int):
        return text
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f'{text!r} is not a size; write bytes, or "512MB", "2GB"')
    factor = _FACTORS[match[2].upper()]
    number = match[1]
    return int(number) * factor if number.isdigit() else int(float(number) * factor)


def format_bytes(count: float) -> str:
    """`1.5 MiB`: for a sentence."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return _three_digits(value, f" {unit}", whole=unit == "B")
        value /= 1024
    return _three_digits(value, " TiB")


def format_share(part: float | None) -> str:
    """`33.3%` of 0.3333; `-` where there is none."""
    return "-" if part is None else f"{100 * part:.1f}%"


def format_size(size: float) -> str:
    """`19.5M`: four characters or so, for a table."""
    for suffix in ("B", "K", "M", "G"):
        if size < 1000:
            return _three_digits(size, suffix, whole=suffix == "B")
        size /= 1024
    return f"{size:.1f}T"


def _three_digits(value: float, unit: str, *, whole: bool = False) -> str:
    return f"{value:.0f}{unit}" if whole or value >= 100 else f"{value:.1f}{unit}"


def format_duration(seconds: float) -> str:
    """`4.2s`, `3m12s`, `5h02m`, `12d03h`: the two largest units."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"
