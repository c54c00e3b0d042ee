"""Options are checked where they are given, not where they first matter: `luabus.limits` has what each may be."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
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


def check_type(key: str, value: Any, *kinds: type, what: str, empty: bool = True) -> None:
    """Raises `ConfigError`, which names the value's type, unless it is of one of these kinds, or None. `what` is needed: words;
    `empty`: it may be "", say."""
    if value is not None and (not isinstance(value, kinds) or not (empty or value)):
        raise ConfigError(f"{key} is {repr_of(value)} ({type(value).__name__}); {what} is needed", key=key)


def check_paths(**paths: Any) -> None:
    """Raises `ConfigError` for what is no path to a file. None and "" are one that was not given."""
    for key, path in paths.items():
        check_type(key, path, str, os.PathLike, what="a path")


def check_host(key: str, host: Any) -> None:
    """Raises `ConfigError` for what is no text; "" is left to the system."""
    check_type(key, host, str, what="a host's name or address, as text,")


def texts(key: str, given: Any) -> list[str]:
    """One text or several, as a list. Raises `ConfigError` for anything else; whether they are what is needed is for others."""
    if isinstance(given, str):
        return [given]
    needed = "a text, or a list of texts,"
    check_type(key, given, Iterable, what=needed)
    if given is None or isinstance(given, bytes | bytearray | memoryview | Mapping):
        raise ConfigError(f"{key} is {repr_of(given)} ({type(given).__name__}); {needed} is needed", key=key)
    items = list(given)
    for number, item in enumerate(items):
        check_type(f"{key}[{number}]", "" if item is None else item, str, what="a text", empty=False)
    return items


def check_groups(groups: Any) -> None:
    """Raises `ConfigError` unless it maps names of groups to numbers. None is one that was not given."""
    check_type("groups", groups, Mapping, what="a map of names to numbers")
    for name, number in (groups or {}).items():
        check_name("groups", name)
        if not _fits("group", number):
            raise ConfigError(
                f"groups[{name!r}] is {repr_of(number)} ({type(number).__name__}); a number of 1 to 255 is needed",
                key="groups",
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
