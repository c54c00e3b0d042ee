"""On which line of a TOML text a key stands. `tomllib` reports values only, and an error message needs the line."""

from __future__ import annotations

import re
from collections.abc import Sequence

_HEADER = re.compile(r"\s*\[\[?\s*(?P<path>[^\]#]+?)\s*\]\]?\s*(#.*)?$")
_ASSIGNMENT = re.compile(
    r"""\s*(?P<path>(?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Key path -> line number (from 1) for each table header and assignment. Inline tables count as one key."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    inside = ""
    # TOML knows no other line break; a text may hold others.
    for number, line in enumerate(text.split("\n"), 1):
        if inside:
            if inside in line:
                inside = ""
            continue
        if header := _HEADER.match(line):
            table = _parts(header["path"])
            _remember(lines, table, number)
        elif assignment := _ASSIGNMENT.match(line):
            _remember(lines, table + _parts(assignment["path"]), number)
            inside = _left_open(line[assignment.end() :])
    return lines


def locate(lines: dict[tuple[str, ...], int], path: Sequence[str | int]) -> int | None:
    """The line of this key, or of the nearest key around it; None when there is none at all."""
    keys = tuple(str(part) for part in path)
    while keys:
        if keys in lines:
            return lines[keys]
        keys = keys[:-1]
    return None


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(path))


def _remember(lines: dict[tuple[str, ...], int], path: tuple[str, ...], number: int) -> None:
    for length in range(1, len(path) + 1):
        lines.setdefault(path[:length], number)


def _left_open(rest: str) -> str:
    for quotes in ('"""', "'''"):
        if rest.count(quotes) == 1:
            return quotes
    return ""
