"""Colour and tables for the terminal, none in pipes. Small, because `status` must answer faster than rich is imported."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Final, TextIO

from luabus.visible import visible

_CODES: Final = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
STATE_COLOURS: Final = {
    "running": "green",
    "starting": "yellow",
    "backoff": "red",
    "stopping": "yellow",
    "exited": "dim",
    "done": "dim",
    "waiting": "red",
    "failed": "red",
    "healthy": "green",
    "degraded": "yellow",
    "down": "red",
}
NAME_COLOURS: Final = ("cyan", "magenta", "blue", "green", "yellow")

_ESCAPE: Final = re.compile(r"\x1b\[[0-9;:]*m")
_COLOUR: Final = re.compile(r"(\x1b\[[0-9;:]*m|\t|\n)")
_PALETTE: Final = re.compile(r"[34]8[;:](?:5[;:]\d+|2[;:][\d;:]*)")
_HIDDEN: Final = re.compile(r"(?<!\d)0*8(?!\d)")
"""The attribute that makes letters invisible, once numbers of a palette are taken away."""


def colours(stream: TextIO) -> bool:
    """Whether to colour what goes to `stream`: a terminal, and nobody said NO_COLOR (no-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


class Style:
    """Paints if `on`; otherwise leaves text as it is."""

    def __init__(self, on: bool) -> None:
        self.on = on

    @classmethod
    def of(cls, stream: TextIO | None = None) -> Style:
        return cls(colours(stream or sys.stdout))

    def __call__(self, text: str, *names: str) -> str:
        if not self.on or not names:
            return text
        return f"\x1b[{';'.join(_CODES[name] for name in names)}m{text}\x1b[0m"

    def state(self, state: str) -> str:
        """A process' or cluster's state in its colour."""
        colour = STATE_COLOURS.get(state)
        return self(state, colour) if colour else state

    def as_state(self, state: str, text: str) -> str:
        """A sentence about what is in this state, in its colour."""
        colour = STATE_COLOURS.get(state)
        return self(text, colour) if colour else text

    def clean(self, text: str) -> str:
        """Text of unknown origin, without what would move the cursor or worse; its colours only where we colour too, and not
        beyond its end."""
        if text.isprintable():
            return text
        safe = "".join(
            self._colour(part) if index % 2 else visible(part)
            for index, part in enumerate(_COLOUR.split(text))
        )
        return f"{safe}\x1b[0m" if "\x1b" in safe and not safe.endswith(("\x1b[0m", "\x1b[m")) else safe

    def _colour(self, part: str) -> str:
        if not part.startswith("\x1b"):
            return part
        if _HIDDEN.search(_PALETTE.sub("", part)):
            return visible(part)
        return part if self.on else ""


def width(text: str) -> int:
    """Columns on the terminal, without escape sequences."""
    return len(_ESCAPE.sub("", text))


def table(
    style: Style, heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()
) -> str:
    """Columns as wide as their contents, two blanks apart; `right` are the columns aligned to the right."""
    painted = [[style(head, "bold") for head in heads], *rows]
    widths = [max(width(row[column]) for row in painted) for column in range(len(heads))]
    lines = []
    for row in painted:
        cells = []
        for column, cell in enumerate(row):
            padding = " " * (widths[column] - width(cell))
            cells.append(padding + cell if column in right else cell + padding)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
