"""`--since`: moments as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

ALLOWED: Final = (
    '10m, 2h, 1d ago; today, yesterday, 14:05, "2026-01-31 14:05" in local time;'
    " or RFC 3339, such as 2026-01-31T14:05:00Z"
)

_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d|w)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_CLOCK: Final = re.compile(r"\d\d:\d\d(:\d\d)?")


def parse_moment(text: str, now: datetime | None = None) -> datetime:
    """The moment that `10m` (ago), `1h30m`, `yesterday`, `14:05`, `2026-01-31 14:05` or an RFC 3339 time means.

    Without a zone it is local time. Raises ValueError, which says what is allowed.
    """
    moment = now or datetime.now(UTC)
    asked = text.strip()
    try:
        if parts := _AGO.findall(asked):
            if "".join(_AGO.split(asked)[::3]).strip() not in ("", "ago"):
                raise ValueError
            return moment - timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))
        local = moment.astimezone()
        if asked in ("today", "yesterday"):
            day = local - timedelta(days=asked == "yesterday")
            return day.replace(hour=0, minute=0, second=0, microsecond=0)
        if _CLOCK.fullmatch(asked):
            asked = f"{local.date()} {asked}"
        return datetime.fromisoformat(asked).astimezone()
    except (ValueError, OverflowError):
        raise ValueError(f'"{text}" is no time; allowed: {ALLOWED}') from None
