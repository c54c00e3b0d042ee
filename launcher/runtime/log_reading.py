"""Log files read back: the end of one, those of several in one order, and what of them is asked for."""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from launcher.errors import UsageError
from launcher.runtime.log_files import Line, decode, numbered
from luabus.cluster.since import parse_moment

TAIL_BLOCK: Final = 64 * 1024


@dataclass(frozen=True)
class LogFilter:
    """What of a log is asked for: `since`, a time as in the files ("" for all), and `pattern`, of which each line has a match."""

    since: str = ""
    pattern: re.Pattern[str] | None = None

    def __contains__(self, line: Line) -> bool:
        return line.time >= self.since and (self.pattern is None or bool(self.pattern.search(line.text)))


def parse_since(text: str) -> str:
    """What `parse_moment` makes of it, as in the files. Raises `UsageError`."""
    try:
        return file_time(parse_moment(text))
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--since {error}") from None


def parse_pattern(text: str) -> re.Pattern[str]:
    """The regular expression, which heeds capitals if it has any: `error` finds ERROR, `Error` does not; `(?-i:error)` finds
    only small letters. Raises `UsageError`."""
    try:
        heeds = re.sub(r"\\.", "", text) != re.sub(r"\\.", "", text).lower()
        return re.compile(text, 0 if heeds else re.IGNORECASE)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"--grep {text!r} is no regular expression: {error}") from None


def file_time(moment: datetime) -> str:
    """As in the files: microseconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def tail(path: Path, name: str, lines: int | None, wanted: LogFilter | None = None) -> list[Line]:
    """The last `lines` lines (None: all) that are `wanted`, oldest first, also from rotated files. Missing files count as empty.

    What is older than the first line that is too old is not looked at.
    """
    found: list[Line] = []
    for line in _newest_first(path, name):
        if lines is not None and len(found) >= lines:
            break
        if wanted is not None and line.time < wanted.since:
            break
        if wanted is None or line in wanted:
            found.append(line)
    found.reverse()
    return found


def merge(parts: Iterable[list[Line]], lines: int | None) -> list[Line]:
    """The last `lines` of several processes' lines (None: all), by time, and each process' in the order of its file.

    Where a file's times go back somebody set the clock back. All files are cut there, and what was written before comes first,
    whatever its time says.
    """
    files = [part for part in parts if part]
    starts = _starts(files)
    merged = heapq.merge(*(_keyed(part, starts) for part in files), key=lambda keyed: keyed[0])
    ordered = [line for _, line in merged]
    if lines is None:
        return ordered
    return ordered[-lines:] if lines else []


_Key = tuple[int, str]


def _starts(files: Sequence[list[Line]]) -> list[str]:
    """For each time that the clock was set back, newest first, the earliest time that a file has after it."""
    starts: list[str] = []
    for lines in files:
        set_back = 0
        for index in range(len(lines) - 1, 0, -1):
            if lines[index].time < lines[index - 1].time:
                if set_back == len(starts):
                    starts.append(lines[index].time)
                starts[set_back] = min(starts[set_back], lines[index].time)
                set_back += 1
    return starts


def _keyed(lines: list[Line], starts: Sequence[str]) -> list[tuple[_Key, Line]]:
    """Each line with what it is put in order by: minus how often the clock was set back after it, and its time."""
    keyed: list[tuple[_Key, Line]] = []
    set_back, after = 0, ""
    for line in reversed(lines):
        if after and line.time > after:
            set_back += 1
        while set_back < len(starts) and line.time < starts[set_back]:
            set_back += 1  # nobody wrote so early after it
        keyed.append(((-set_back, line.time), line))
        after = line.time
    keyed.reverse()
    return keyed


def _newest_first(path: Path, name: str) -> Iterator[Line]:
    number = 0
    while True:
        try:
            for raw in _backwards(path if number == 0 else numbered(path, number)):
                if (line := decode(raw, name)) is not None:
                    yield line
        except FileNotFoundError:
            if number:
                return
        except OSError:
            return
        number += 1


def _backwards(file: Path) -> Iterator[bytes]:
    with file.open("rb") as handle:
        position = handle.seek(0, os.SEEK_END)
        rest = b""
        while position > 0:
            size = min(TAIL_BLOCK, position)
            position -= size
            handle.seek(position)
            block = handle.read(size) + rest
            first, *whole = block.split(b"\n")
            for line in reversed(whole):
                if line:
                    yield line
            rest = first
        if rest:
            yield rest
