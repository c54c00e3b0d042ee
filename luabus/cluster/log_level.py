"""The level of a line of a log, read in one place for the command line, the API and the pages."""

from __future__ import annotations

import re
from typing import Final

WITHIN: Final = 80
"""Characters at the start of a line in which a log has its level."""

_NAMES: Final = {
    "TRACE": "DEBUG",
    "DEBUG": "DEBUG",
    "INFO": "INFO",
    "NOTICE": "INFO",
    "WARN": "WARNING",
    "WARNING": "WARNING",
    "ERR": "ERROR",
    "ERROR": "ERROR",
    "CRIT": "CRITICAL",
    "CRITICAL": "CRITICAL",
    "FATAL": "CRITICAL",
    "EMERG": "CRITICAL",
    "PANIC": "CRITICAL",
}
_COLOUR: Final = re.compile(r"\x1b\[[0-9;:]*m")
_WORDS: Final = "|".join(sorted(_NAMES, key=len, reverse=True))
_CAPITALS: Final = re.compile(rf"(?<![\w./-])({_WORDS})(?![\w/-])")
_MARKED: Final = re.compile(
    rf"\[({_WORDS})\]|^(?:\S+ )?({_WORDS}):|\"?\b(?:level|levelname|lvl|severity)\"?\s*[=:]\s*\"?({_WORDS})\b",
    re.IGNORECASE,
)
"""In small letters only where nothing else than a level can be meant: `[warn]`, `error: ...`, `level=info`, `"level": "info"`."""


def level_of(text: str) -> str | None:
    """`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`; None for a line that says none.

    Other words mean one of these: `WARN`, `[notice]`, `"level": "fatal"`.
    """
    start = _COLOUR.sub("", text)[:WITHIN]
    capitals = _CAPITALS.search(start)
    marked = _MARKED.search(start)
    first = min(
        (found for found in (capitals, marked) if found), key=lambda found: found.start(), default=None
    )
    if first is None:
        return None
    word = next(group for group in first.groups() if group)
    return _NAMES[word.upper()]


def is_routine(level: str | None) -> bool:
    """Whether a line of this level is no trouble, although it went to stderr, as all that Python logs does."""
    return level in ("DEBUG", "INFO")
