"""Log lines for people: when, who, what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, Protocol

from launcher.cli.terminal import NAME_COLOURS, Style
from launcher.runtime.log_files import Line
from luabus.cluster.log_level import is_routine

LEVEL_COLOURS: Final = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


class Output(Protocol):
    """Where text goes: a file, or a `Screen`."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


class LogPrinter:
    """A line each: local time (with the date if that is not today's) and zone, name, a bar in the name's colour, and the text in
    its level's colour. The bar is red for what went to stderr and is not of the levels INFO and DEBUG."""

    def __init__(self, style: Style, out: Output, *, times: bool = True, utc: bool = False) -> None:
        self._style = style
        self._out = out
        self._times = times
        self._utc = utc
        self._width = 8
        self._colours: dict[str, str] = {}

    def lines(self, lines: Sequence[Line]) -> None:
        """Prints them in one write."""
        self._out.write("".join(f"{text}\n" for text in self.rendered(lines)))
        self._out.flush()

    def maps(self, lines: Sequence[dict[str, Any]]) -> None:
        """The same for lines that came over the control channel."""
        self.lines([Line.of_map(line) for line in lines])

    def rendered(self, lines: Sequence[Line]) -> list[str]:
        """The lines as text."""
        today = datetime.now(UTC).date() if self._utc else date.today()
        return [self._render(line, today) for line in lines]

    def _render(self, line: Line, today: date) -> str:
        style = self._style
        self._width = max(self._width, len(line.name))
        service = line.name.rpartition(".")[0] or line.name
        colour = self._colours.setdefault(service, NAME_COLOURS[len(self._colours) % len(NAME_COLOURS)])
        level = line.level
        is_trouble = line.stream == "err" and not is_routine(level)
        text = style.clean(line.text)
        if line.stream == "sys":
            text = style(f"({text})", "dim")
        elif level in LEVEL_COLOURS and "\x1b" not in text:
            text = style(text, LEVEL_COLOURS[level])
        time = style(shown_time(line.time, today, utc=self._utc), "dim") + " " if self._times else ""
        name = style(line.name.ljust(self._width), colour)
        return f"{time}{name} {style('|', 'red' if is_trouble else colour)} {text}"


def shown_time(time: str, today: date, *, utc: bool = False) -> str:
    """`14:05:00.123+02:00`, with the date before it if that is not `today`; in UTC `12:05:00.123Z`."""
    try:
        moment = datetime.fromisoformat(time)
        moment = moment.astimezone(UTC) if utc else moment.astimezone()
    except (ValueError, OverflowError):
        return time
    clock = moment.timetz().isoformat(timespec="milliseconds").replace("+00:00", "Z" if utc else "+00:00")
    return clock if moment.date() == today else f"{moment.date()} {clock}"


_MOST_SHOWN: Final = 500
"""Characters of a line that is told as a reason; the log has all of it."""


def tail_lines(style: Style, tail: Sequence[Mapping[str, Any]]) -> list[str]:
    """The end of a log as a reason, indented; lines without a time are the launcher's stderr."""
    today = date.today()
    shown = []
    for line in tail:
        time = style(shown_time(line["time"], today), "dim") + " " if line["time"] else ""
        text = style.clean(line["line"][:_MOST_SHOWN]) + "…" * (len(line["line"]) > _MOST_SHOWN)
        shown.append(f"    {time}{f'({text})' if line['stream'] == 'sys' else text}")
    return shown
