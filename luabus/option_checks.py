"""Options are checked where they are given, not where they first matter: `luabus.limits` has what each may be."""

from __future__ import annotations

from typing import Any

from luabus.errors import ConfigError
from luabus.exception_text import repr_of
from luabus.limits import LONGEST_TIMEOUT_S, NAME_LENGTH, OPTION_RANGES, ROUTE_MODES


def check(**options: Any) -> None:
    """Raises `ConfigError` with the first option's name and value, and what it may be. None is one that was not given."""
    for key, value in options.items():
        if value is not None and not _fits(key, value):
            allowed = OPTION_RANGES[key]
            kind = "a whole number" if allowed.whole else "a number"
            raise ConfigError(
                f"{key} is {repr_of(value)}; at least {_exact(allowed.least)} is needed, at most {_exact(allowed.most)}"
                f"{' ' * bool(allowed.unit)}{allowed.unit}, as {kind}",
                key=key,
            )


def _fits(key: str, value: Any) -> bool:
    allowed = OPTION_RANGES[key]
    kinds = (int,) if allowed.whole else (int, float)
    return (
        type(value) in kinds and allowed.least <= value <= allowed.most
    )  # a bool is none, and NaN is in no range


def _exact(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def check_name(key: str, name: Any, *, empty: bool = False) -> None:
    """Raises `ConfigError` unless `name` is a text that can be shown; `empty`: it may be left to the environment."""
    if (
        type(name) is not str
        or not (name or empty)
        or len(name) > NAME_LENGTH
        or not name.isprintable()
        or name != name.strip()
    ):
        raise ConfigError(
            f"{key} is {repr_of(name)}; a name of 1 to {NAME_LENGTH} printable characters is needed",
            key=key,
        )


def check_mode(mode: Any) -> None:
    """Raises `ConfigError` unless a group can be reached so."""
    if type(mode) is not str or mode not in ROUTE_MODES:
        raise ConfigError(
            f"mode is {repr_of(mode)}; there are: {', '.join(filter(None, ROUTE_MODES))}", key="mode"
        )


def time_limit(timeout: Any) -> float | None:
    """A time-out in seconds; None for one that never is, or so long that it might as well never be.

    Raises `ConfigError` for what is no number, NaN included.
    """
    if timeout is None:
        return None
    if type(timeout) not in (int, float) or timeout != timeout:
        raise ConfigError(
            f"timeout is {repr_of(timeout)}; seconds are needed, or None for no limit", key="timeout"
        )
    return None if timeout > LONGEST_TIMEOUT_S else float(timeout)
